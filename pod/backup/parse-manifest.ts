import { hash } from 'node:crypto'
import { fromWirePath, isPlainPath, parentOf, showPath } from './byte-path.ts'
import { BackupDamagedError } from './errors.ts'
import { CHECKSUM_HEAD, CHECKSUM_MIDDLE, CHECKSUM_TAIL, MANIFEST_VERSION } from './manifest.ts'
import { MAX_BLOB_BYTES } from './store.ts'
import type { BytePath } from './byte-path.ts'
import type { BackupId, Entry, FileEntry, Manifest } from './manifest.ts'
import type { BlobRef } from './store.ts'

/**
 * Types a manifest from a store, which may be damaged or hostile: checksum first, then every field, and that it is the one that was
 * asked for. No path in the result leads out of the directory, and every path's parent is a directory of the same manifest.
 * Throws BackupDamagedError that says what is wrong.
 */
export function parseManifest(data: Buffer, expected: BackupId & { sessionId: string }): Manifest {
  const fields = record(parseJson(checkedBody(data)), 'manifest')
  if (fields['format'] !== 'fairlead-backup') reject('not a Fairlead backup')
  if (fields['version'] !== MANIFEST_VERSION) reject(`version ${String(fields['version'])} is not known here`)
  const { sessionId, epoch, sequence } = expected
  if (fields['session'] !== sessionId || fields['epoch'] !== epoch || fields['sequence'] !== sequence)
    reject(`it is not backup ${epoch}/${sequence} of session ${sessionId}`)
  const { entries } = fields
  return {
    sessionId,
    epoch,
    sequence,
    createdAt: time(fields['created']),
    writer: text(fields['writer'], 'writer'),
    continues: fields['continues'] === null ? null : backupId(fields['continues'], epoch),
    entries: sequence === 0 && entries === null ? null : parseEntries(entries)
  }
}

function checkedBody(data: Buffer): Buffer {
  const bodyStart = CHECKSUM_HEAD.length + 64 + CHECKSUM_MIDDLE.length
  const body = data.subarray(bodyStart, -CHECKSUM_TAIL.length)
  const frame = data.subarray(0, bodyStart).toString('latin1') + data.subarray(-CHECKSUM_TAIL.length).toString('latin1')
  const expected = `${CHECKSUM_HEAD}${hash('sha256', body)}${CHECKSUM_MIDDLE}${CHECKSUM_TAIL}`
  if (frame !== expected) reject(`checksum does not match (${data.length} bytes)`)
  return body
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (error) {
    throw new BackupDamagedError('manifest: not JSON', { cause: error })
  }
}

function parseEntries(list: unknown): Entry[] {
  if (!Array.isArray(list)) reject('entries: expected a list')
  const seen = new Map<BytePath, Entry>()
  for (const item of list) {
    const entry = parseEntry(record(item, 'entry'))
    checkPlace(entry, seen)
    seen.set(entry.path, entry)
  }
  if (!seen.has('')) reject('entries: the directory itself is missing')
  return [...seen.values()]
}

function checkPlace(entry: Entry, seen: ReadonlyMap<BytePath, Entry>): void {
  const shown = JSON.stringify(showPath(entry.path))
  if (seen.has(entry.path)) reject(`path ${shown}: there twice`)
  if (entry.path === '') {
    if (entry.type !== 'directory') reject('path "": must be a directory')
    return
  }
  if (!isPlainPath(entry.path)) reject(`path ${shown}: leads out of the directory`)
  if (seen.get(parentOf(entry.path))?.type !== 'directory')
    reject(`path ${shown}: not below a directory of this backup`)
  if (entry.type === 'link' && seen.get(entry.to)?.type !== 'file') reject(`path ${shown}: links to no file before it`)
}

function parseEntry(fields: Fields): Entry {
  const path = pathField(fields['path'], 'path')
  switch (fields['type']) {
    case 'directory':
      return { type: 'directory', path, mode: mode(fields['mode']), mtimeNs: nanoseconds(fields['mtimeNs']) }
    case 'file':
      return fileEntry(fields, path)
    case 'symlink': {
      const target = pathField(fields['target'], 'target')
      if (target === '' || target.includes('\0')) reject('target: empty or with NUL')
      return { type: 'symlink', path, target, mtimeNs: nanoseconds(fields['mtimeNs']) }
    }
    case 'link':
      return { type: 'link', path, to: pathField(fields['to'], 'to') }
    default:
      return reject(`entry: type ${JSON.stringify(fields['type'])} is not known here`)
  }
}

function fileEntry(fields: Fields, path: BytePath): FileEntry {
  const size = integer(fields['size'], { name: 'size', min: 0, max: Number.MAX_SAFE_INTEGER })
  const list = fields['blobs']
  if (!Array.isArray(list)) reject('blobs: expected a list')
  const blobs = list.map(blobRef)
  if (blobs.reduce((sum, blob) => sum + blob.size, 0) !== size) reject('blobs: their sizes do not add up')
  return { type: 'file', path, mode: mode(fields['mode']), mtimeNs: nanoseconds(fields['mtimeNs']), size, blobs }
}

function blobRef(item: unknown): BlobRef {
  const fields = record(item, 'blob')
  const sha256 = text(fields['sha256'], 'sha256')
  if (!/^[0-9a-f]{64}$/.test(sha256)) reject('sha256: expected 64 hex digits')
  return { sha256, size: integer(fields['size'], { name: 'blob size', min: 1, max: MAX_BLOB_BYTES }) }
}

function backupId(value: unknown, ownEpoch: number): BackupId {
  const fields = record(value, 'continues')
  return {
    epoch: integer(fields['epoch'], { name: 'continues.epoch', min: 1, max: ownEpoch - 1 }),
    sequence: integer(fields['sequence'], { name: 'continues.sequence', min: 1, max: Number.MAX_SAFE_INTEGER })
  }
}

type Fields = Readonly<Record<string, unknown>>

function record(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) reject(`${name}: expected an object`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- any object from JSON is this; every field is checked where it is taken
  return value as Fields
}

function text(value: unknown, name: string): string {
  return typeof value === 'string' ? value : reject(`${name}: expected a text`)
}

function integer(value: unknown, bounds: { name: string; min: number; max: number }): number {
  const { name, min, max } = bounds
  const inRange = typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
  return inRange ? value : reject(`${name}: expected a whole number from ${min} to ${max}`)
}

function mode(value: unknown): number {
  return integer(value, { name: 'mode', min: 0, max: 0o7777 })
}

function nanoseconds(value: unknown): bigint {
  if (typeof value !== 'string' || !/^-?\d{1,19}$/.test(value)) reject('mtimeNs: expected nanoseconds as digits')
  return BigInt(value)
}

function time(value: unknown): number {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) ? reject('created: expected an ISO time') : ms
}

function pathField(value: unknown, name: string): BytePath {
  return fromWirePath(value) ?? reject(`${name}: expected a text or base64`)
}

function reject(problem: string): never {
  throw new BackupDamagedError(`manifest: ${problem}`)
}
