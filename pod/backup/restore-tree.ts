import { constants } from 'node:fs'
import { chmod, link, lutimes, mkdir, mkdtemp, open, readdir, rename, symlink, utimes } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { basename, dirname, join } from 'node:path'
import { pathBytes } from './byte-path.ts'
import { BackupDamagedError, BackupDirectoryError } from './errors.ts'
import { hasCode } from './fs-fault.ts'
import { hashChunk } from './hash-chunk.ts'
import { forEachParallel } from './limiter.ts'
import { TICK_MS, isTelling } from './read-stable.ts'
import { removeTree } from './remove-tree.ts'
import { stampOf } from './snapshot.ts'
import { TreeRoot } from './tree-root.ts'
import type { FileHandle } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import type { BytePath } from './byte-path.ts'
import type { DirectoryEntry, Entry, FileEntry } from './manifest.ts'
import type { GoodManifest } from './lineage.ts'
import type { KnownFile } from './snapshot.ts'
import type { BackupStore, BlobRef, EpochRef } from './store.ts'

const FILES_AT_ONCE = 4
const BLOBS_AT_ONCE = 4
// Set-user-id means something only with the owner it was set for, and owners are not part of a backup.
const FILE_BITS = 0o1777
const DIRECTORY_BITS = 0o3777

/**
 * Puts a backup's tree where the directory is or will be, which must be missing or empty. It is made beside it and renamed into place,
 * every blob verified before it is written: whatever fails, the directory is as it was.
 * Returns what is known of the files now, for the next snapshot. Throws BackupDamagedError or ObjectMissingError for a backup that cannot be had.
 */
export async function restoreTree(
  source: { store: BackupStore; manifest: GoodManifest },
  directory: string
): Promise<ReadonlyMap<BytePath, KnownFile>> {
  const beside = await mkdtemp(join(dirname(directory), restorePrefix(directory))).catch(localFault)
  try {
    const written = await writeTree(source, beside)
    // Nobody else can write there yet; after the clock's next tick, times tell, and much need not be read again.
    if (newBytes(written) > REREAD_BYTES) await sleep(TICK_MS)
    await rename(beside, directory)
    return knownFiles(written)
  } catch (error) {
    await removeTree(beside)
    return localFault(error)
  }
}

/** Makes sure that nothing is in the way of a restore: the directory is missing or empty, and no restore that a kill cut short lies beside it. */
export async function prepareRestore(directory: string): Promise<void> {
  const [inside, beside] = await Promise.all([namesIn(directory), namesIn(dirname(directory))]).catch(localFault)
  if (inside.length > 0) throw new BackupDirectoryError(`${directory} is not empty: a restore would mix two states`)
  const leftovers = beside.filter(name => name.startsWith(restorePrefix(directory)))
  await Promise.all(leftovers.map(name => removeTree(join(dirname(directory), name))))
}

function restorePrefix(directory: string): string {
  return `.restore-${basename(directory)}.`
}

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
}

type Written = { entry: FileEntry; stat: BigIntStats }

async function writeTree(source: { store: BackupStore; manifest: GoodManifest }, target: string): Promise<Written[]> {
  const { store, manifest } = source
  await using root = await TreeRoot.open(target)
  const of = byType(manifest.entries)
  for (const entry of of.directory) {
    if (entry.path !== '') await mkdir(root.at(entry.path), 0o700)
  }
  const at = { sessionId: manifest.sessionId, epoch: manifest.epoch }
  const written: Written[] = []
  await forEachParallel(of.file, FILES_AT_ONCE, async entry => {
    written.push({ entry, stat: await writeFile({ store, at, root }, entry) })
  })
  await forEachParallel(of.link, FILES_AT_ONCE, entry => link(root.at(entry.to), root.at(entry.path)))
  await forEachParallel(of.symlink, FILES_AT_ONCE, async entry => {
    await symlink(pathBytes(entry.target), root.at(entry.path))
    await lutimes(root.at(entry.path), unixTime(entry.mtimeNs), unixTime(entry.mtimeNs))
  })
  await finishDirectories(root, of.directory)
  const linked = new Set(of.link.map(entry => entry.to))
  return written.filter(({ entry }) => !linked.has(entry.path))
}

type ByType = { [T in Entry['type']]: Extract<Entry, { type: T }>[] }

function byType(entries: readonly Entry[]): ByType {
  return {
    directory: entries.filter(entry => entry.type === 'directory'),
    file: entries.filter(entry => entry.type === 'file'),
    link: entries.filter(entry => entry.type === 'link'),
    symlink: entries.filter(entry => entry.type === 'symlink')
  }
}

/** Deepest first: what is written into a directory changes its time, and a mode may forbid writing into it. */
async function finishDirectories(root: TreeRoot, directories: readonly DirectoryEntry[]): Promise<void> {
  for (const { path, mode, mtimeNs } of directories.toReversed()) {
    await utimes(root.at(path), unixTime(mtimeNs), unixTime(mtimeNs))
    await chmod(root.at(path), mode & DIRECTORY_BITS)
  }
}

interface FileTarget {
  readonly store: BackupStore
  readonly at: EpochRef
  readonly root: TreeRoot
}

async function writeFile(target: FileTarget, entry: FileEntry): Promise<BigIntStats> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  await using file = await open(target.root.at(entry.path), flags, 0o600)
  await forEachParallel(withPositions(entry.blobs), BLOBS_AT_ONCE, async ({ blob, position }) => {
    await target.store.slots.run(async () => writeBlob(file, { data: await verifiedBlob(target, blob), position }))
  })
  // A hole at the end has not been written.
  await file.truncate(entry.size)
  await file.utimes(unixTime(entry.mtimeNs), unixTime(entry.mtimeNs))
  await file.chmod(entry.mode & FILE_BITS)
  return await file.stat({ bigint: true })
}

function withPositions(blobs: readonly BlobRef[]): { blob: BlobRef; position: number }[] {
  let end = 0
  return blobs.map(blob => {
    const position = end
    end += blob.size
    return { blob, position }
  })
}

async function verifiedBlob(target: FileTarget, blob: BlobRef): Promise<Buffer<ArrayBuffer>> {
  const data = await target.store.readBlob(target.at, blob)
  const found = await hashChunk(data)
  if (found.sha256 !== blob.sha256 || found.size !== blob.size)
    throw new BackupDamagedError(`blob ${blob.sha256}: content does not match its hash`)
  return data
}

async function writeBlob(file: FileHandle, piece: { data: Buffer; position: number }): Promise<void> {
  const { data, position } = piece
  // Large runs of zeros were holes, or may well be.
  if (data.length >= SPARSE_BYTES && isZero(data)) return
  for (let done = 0; done < data.length;) {
    const { bytesWritten } = await file.write(data, done, data.length - done, position + done)
    done += bytesWritten
  }
}

const SPARSE_BYTES = 1024 * 1024

function isZero(data: Buffer): boolean {
  return data[0] === 0 && data.compare(data, 0, data.length - 1, 1) === 0
}

/** For utimes: seconds as a float, which keeps times of this century to 0.12 µs; before 1970, Node takes only milliseconds. */
function unixTime(ns: bigint): number | Date {
  if (ns < 0n) return new Date(Number(ns / 1_000_000n))
  return Number(ns / 1_000_000_000n) + Number(ns % 1_000_000_000n) / 1e9
}

const REREAD_BYTES = 8 * 1024 * 1024

function newBytes(written: readonly Written[]): number {
  return written.reduce((sum, { stat }) => sum + (isTelling(stat) ? 0 : Number(stat.size)), 0)
}

/** Files written so lately that a change may not show in their times are left to be read again. */
function knownFiles(written: readonly Written[]): ReadonlyMap<BytePath, KnownFile> {
  return new Map(
    written
      .filter(({ stat }) => isTelling(stat))
      .map(({ entry, stat }) => [entry.path, { stamp: stampOf(stat), entry, telling: true }])
  )
}

function localFault(error: unknown): never {
  if (error instanceof Error && 'syscall' in error)
    throw new BackupDirectoryError(`cannot restore into the session's directory: ${error.message}`, { cause: error })
  throw error
}
