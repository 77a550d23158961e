import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from './fs-fault.ts'
import { forEachParallel } from './limiter.ts'
import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { BytePath } from './byte-path.ts'
import type { Limiter } from './limiter.ts'
import type { BlobRef } from './store.ts'
import type { TreeRoot } from './tree-root.ts'

/** Content is cut at every multiple of this many bytes; what was cut off before and did not change is not sent again. */
export const CHUNK_BYTES = 4 * 1024 * 1024

const ATTEMPTS = 4
// A large file that changes is not read over and over.
const LARGE_BYTES = 64n * 1024n * 1024n
const LARGE_ATTEMPTS = 2
const CHUNKS_AT_ONCE = 4
/** The kernel stamps files with a clock that may tick every 10 ms (HZ=100): of two writes within a tick, times tell nothing. Two ticks and one. */
export const TICK_MS = 21
// How long a single write of a slow or starved process may take: what was written later than this is read at the next save again.
const UNFINISHED_MS = 2000
const UNFINISHED_BYTES_PER_MS = 100_000
// A file stamped further in the future than this has a clock of its own (a network share); waiting for it helps nothing.
const FUTURE_MS = 50

/** Takes a piece of content, in any order, and says under which hash it stands. */
export type TakeChunk = (data: Buffer<ArrayBuffer>) => Promise<BlobRef>

/**
 * What came of reading a file. `stable`: the content of one moment, with the file's status of that moment. `prefix`: it kept growing; the
 * bytes it had at `stat`, which two readings agreed on. `telling`: an equal status later will prove equal content. `changing`: no two looks agreed. `gone`: nothing or something else is there now.
 */
export type Reading =
  | {
      readonly outcome: 'stable' | 'prefix'
      readonly stat: BigIntStats
      readonly blobs: readonly BlobRef[]
      readonly telling: boolean
    }
  | { readonly outcome: 'changing' | 'unreadable' }
  | { readonly outcome: 'gone' }

/** What reading needs besides the path. */
export interface ReadContext {
  readonly root: TreeRoot
  /** Bounds the content in memory, over all sessions. */
  readonly slots: Limiter
  readonly take: TakeChunk
  /** Only hashes. */
  readonly measure: TakeChunk
}

/** Reads one file so that the result never mixes two moments of it: its status before and after, through one open file, must agree; a few attempts, each with the file opened anew. */
export async function readStable(context: ReadContext, path: BytePath): Promise<Reading> {
  for (let attempt = 1; ; attempt++) {
    const reading = await attemptReading(context, { path, attempt })
    if (reading !== 'again') return reading
  }
}

async function attemptReading(
  context: ReadContext,
  step: { path: BytePath; attempt: number }
): Promise<Reading | 'again'> {
  const handle = await openFile(context.root, step.path)
  if (handle === null) return step.attempt < ATTEMPTS ? await goneOrReplaced(context, step.path) : { outcome: 'gone' }
  if (handle === 'unreadable') return { outcome: 'unreadable' }
  await using file = handle
  const { stat: before, settled, telling } = await settledStat(file)
  if (!before.isFile()) return { outcome: 'gone' }
  const blobs = await readContent(file, { ...context, size: Number(before.size) })
  const after = await file.stat({ bigint: true })
  if (blobs !== null && settled && sameFile(before, after)) return { outcome: 'stable', stat: before, blobs, telling }
  if (step.attempt < (before.size > LARGE_BYTES ? LARGE_ATTEMPTS : ATTEMPTS)) return 'again'
  const still = sameFile(before, after)
  if (blobs === null || !(still || after.size > before.size)) return { outcome: 'changing' }
  const again = await readContent(file, { ...context, take: context.measure, size: Number(before.size) })
  if (!sameBlobs(blobs, again)) return { outcome: 'changing' }
  return { outcome: still ? 'stable' : 'prefix', stat: before, blobs, telling: false }
}

/** A rename may put another file in its place at the moment of the look. */
async function goneOrReplaced(context: ReadContext, path: BytePath): Promise<Reading | 'again'> {
  const handle = await openFile(context.root, path)
  if (handle === null) return { outcome: 'gone' }
  if (handle !== 'unreadable') await handle.close()
  return 'again'
}

async function openFile(root: TreeRoot, path: BytePath): Promise<FileHandle | null | 'unreadable'> {
  try {
    return await root.open(path)
  } catch (error) {
    if (hasCode(error, 'EACCES', 'EPERM', 'ENAMETOOLONG')) return 'unreadable'
    throw error
  }
}

interface SettledStat {
  readonly stat: BigIntStats
  /** Any write after the look shows in the file's times. */
  readonly settled: boolean
  readonly telling: boolean
}

/** The file's status, if need be after the clock tick in which it was last written. */
async function settledStat(file: FileHandle): Promise<SettledStat> {
  let stat = await file.stat({ bigint: true })
  if (!isSettled(stat)) {
    await sleep(TICK_MS)
    stat = await file.stat({ bigint: true })
  }
  return { stat, settled: isSettled(stat), telling: isTelling(stat) && isWritten(stat) }
}

function isSettled(stat: BigIntStats): boolean {
  const ms = ageMs(stat)
  return ms > TICK_MS || ms < -FUTURE_MS
}

/** For a status taken just now, and no write under way: true when an equal status at a later time will prove equal content. */
export function isTelling(stat: BigIntStats): boolean {
  // File systems that keep whole seconds need a whole second's distance.
  return ageMs(stat) > (stat.ctimeNs % 1_000_000_000n === 0n ? 2000 : TICK_MS)
}

/** A write shows in the times when it begins, and may take longer than a tick: soon after one, an equal status does not yet prove that it had ended. */
function isWritten(stat: BigIntStats): boolean {
  return ageMs(stat) > UNFINISHED_MS + Number(stat.size) / UNFINISHED_BYTES_PER_MS
}

function ageMs(stat: BigIntStats): number {
  return Date.now() - Number(stat.ctimeNs / 1_000_000n)
}

/** Same file, and no write between the two looks. */
export function sameFile(a: FileStamp, b: FileStamp): boolean {
  return a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs
}

/** What tells one state of a file from another. */
export type FileStamp = Pick<BigIntStats, 'ino' | 'dev' | 'size' | 'mtimeNs' | 'ctimeNs'>

/** Null when the file ended early. */
async function readContent(
  file: FileHandle,
  context: { slots: Limiter; take: TakeChunk; size: number }
): Promise<BlobRef[] | null> {
  const count = Math.ceil(context.size / CHUNK_BYTES)
  const blobs: BlobRef[] = []
  let short = false
  await forEachParallel(Array.from({ length: count }).keys(), CHUNKS_AT_ONCE, async index => {
    if (short) return
    const position = index * CHUNK_BYTES
    await context.slots.run(async () => {
      const chunk = await readChunk(file, { position, size: Math.min(CHUNK_BYTES, context.size - position) })
      if (chunk === null) short = true
      else blobs[index] = await context.take(chunk)
    })
  })
  return short ? null : blobs
}

async function readChunk(
  file: FileHandle,
  range: { position: number; size: number }
): Promise<Buffer<ArrayBuffer> | null> {
  const chunk = Buffer.allocUnsafe(range.size)
  for (let have = 0; have < range.size;) {
    const { bytesRead } = await file.read(chunk, have, range.size - have, range.position + have)
    if (bytesRead === 0) return null
    have += bytesRead
  }
  return chunk
}

function sameBlobs(a: readonly BlobRef[], b: readonly BlobRef[] | null): boolean {
  return b !== null && a.length === b.length && a.every((blob, index) => blob.sha256 === b[index]?.sha256)
}
