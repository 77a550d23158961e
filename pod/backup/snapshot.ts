import { scanDirectory } from './scan-directory.ts'
import { readStable, sameFile } from './read-stable.ts'
import { forEachParallel } from './limiter.ts'
import type { BytePath } from './byte-path.ts'
import type { Entry, FileEntry } from './manifest.ts'
import type { ReadContext, FileStamp } from './read-stable.ts'
import type { Scan, Scanned } from './scan-directory.ts'

/** What is known of a file since it was last read or restored. */
export interface KnownFile {
  readonly stamp: FileStamp
  readonly entry: FileEntry
  /** An equal stamp proves equal content; false for a file that was still changing. */
  readonly telling: boolean
}

/** A file that would not hold still. `prefix`: it kept growing, its first bytes are saved, which two readings agreed on. `previous`: its content of the backup before stands. `nothing`: it is not in the backup. */
export interface UnstableFile {
  readonly path: BytePath
  readonly saved: 'prefix' | 'previous' | 'nothing'
}

/** A session's directory at one time: each file is of one moment, different files may be of different ones. */
export interface Snapshot {
  readonly entries: readonly Entry[]
  /** What to hand to the next snapshot. */
  readonly known: ReadonlyMap<BytePath, KnownFile>
  readonly unstable: readonly UnstableFile[]
  readonly left: Scan['left']
}

/** What a snapshot needs. */
export interface SnapshotContext extends ReadContext {
  /** From the snapshot or restore before; files whose stamp is the same are not read. */
  readonly known: ReadonlyMap<BytePath, KnownFile>
  /** Makes sure that the store has the content of a file that is not read again; false = read it. */
  readonly keep: (entry: FileEntry) => Promise<boolean>
}

const FILES_AT_ONCE = 4

/** Takes a snapshot of a session's directory and hands all content that may be new to `take`. */
export async function takeSnapshot(context: SnapshotContext): Promise<Snapshot> {
  const scan = await scanDirectory(context.root)
  const progress: Progress = { context, known: new Map(), unstable: [], left: [...scan.left] }
  const entries = new Map<BytePath, Entry>()
  for (const item of scan.found) if (item.type !== 'file') entries.set(item.path, plainEntry(item))
  const { leaders, followers } = groupByInode(scan.found.filter(item => item.type === 'file'))
  await forEachParallel(leaders, FILES_AT_ONCE, async item => {
    const entry = await fileEntry(progress, item)
    if (entry !== null) entries.set(item.path, entry)
  })
  await forEachParallel(followers, FILES_AT_ONCE, async ({ item, leader }) => {
    const entry = isStill(progress, leader) ? linkEntry(item.path, leader.path) : await fileEntry(progress, item)
    if (entry !== null) entries.set(item.path, entry)
  })
  const ordered = scan.found.map(item => entries.get(item.path)).filter(entry => entry !== undefined)
  return { entries: ordered, known: progress.known, unstable: progress.unstable, left: progress.left }
}

interface Progress {
  readonly context: SnapshotContext
  readonly known: Map<BytePath, KnownFile>
  readonly unstable: UnstableFile[]
  readonly left: Scan['left'][number][]
}

function plainEntry(item: Scanned): Entry {
  const { path, stat } = item
  if (item.type === 'symlink') return { type: 'symlink', path, target: item.target, mtimeNs: stat.mtimeNs }
  return { type: 'directory', path, mode: Number(stat.mode) & 0o7777, mtimeNs: stat.mtimeNs }
}

interface Follower {
  readonly item: Scanned
  readonly leader: Scanned
}

/** Of several names of one file, the first stands for it. */
function groupByInode(files: readonly Scanned[]): { leaders: Scanned[]; followers: Follower[] } {
  const first = new Map<string, Scanned>()
  const [leaders, followers] = [new Array<Scanned>(), new Array<Follower>()]
  for (const item of files) {
    const inode = item.stat.nlink > 1n ? `${item.stat.dev}:${item.stat.ino}` : item.path
    const leader = first.get(inode)
    if (leader !== undefined) followers.push({ item, leader })
    else {
      first.set(inode, item)
      leaders.push(item)
    }
  }
  return { leaders, followers }
}

/** The name was still that of the same file when it was read. */
function isStill(progress: Progress, leader: Scanned): boolean {
  const stamp = progress.known.get(leader.path)?.stamp
  return stamp !== undefined && stamp.ino === leader.stat.ino && stamp.dev === leader.stat.dev
}

function linkEntry(path: BytePath, to: BytePath): Entry {
  return { type: 'link', path, to }
}

async function fileEntry(progress: Progress, item: Scanned): Promise<FileEntry | null> {
  const { context, known } = progress
  const before = context.known.get(item.path)
  if (before?.telling === true && sameFile(before.stamp, item.stat) && (await context.keep(before.entry))) {
    known.set(item.path, before)
    return before.entry
  }
  return await readEntry(progress, item.path)
}

async function readEntry(progress: Progress, path: BytePath): Promise<FileEntry | null> {
  const reading = await readStable(progress.context, path)
  if (reading.outcome === 'gone') return null
  if (!('stat' in reading)) return await olderEntry(progress, { path, why: reading.outcome })
  const { stat, blobs, telling } = reading
  const entry: FileEntry = {
    type: 'file',
    path,
    mode: Number(stat.mode) & 0o7777,
    mtimeNs: stat.mtimeNs,
    size: Number(stat.size),
    blobs
  }
  progress.known.set(path, { stamp: stampOf(stat), entry, telling })
  if (reading.outcome === 'prefix') progress.unstable.push({ path, saved: 'prefix' })
  return entry
}

/** A file of another moment is better than a mixture, and better than none. */
async function olderEntry(
  progress: Progress,
  file: { path: BytePath; why: 'changing' | 'unreadable' }
): Promise<FileEntry | null> {
  const { path, why } = file
  const before = progress.context.known.get(path)
  const kept = before !== undefined && (await progress.context.keep(before.entry)) ? before : null
  if (kept !== null) progress.known.set(path, { ...kept, telling: false })
  if (why === 'unreadable') progress.left.push({ path, reason: why })
  else progress.unstable.push({ path, saved: kept === null ? 'nothing' : 'previous' })
  return kept?.entry ?? null
}

/** Keeps five numbers of a status and lets the rest go. */
export function stampOf(stat: FileStamp): FileStamp {
  const { ino, dev, size, mtimeNs, ctimeNs } = stat
  return { ino, dev, size, mtimeNs, ctimeNs }
}
