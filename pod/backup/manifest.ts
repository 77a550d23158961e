import { hash } from 'node:crypto'
import { toWirePath } from './byte-path.ts'
import type { BytePath } from './byte-path.ts'
import type { BlobRef } from './store.ts'

/** Version of the manifest's format; a reader refuses any other. */
export const MANIFEST_VERSION = 1

/** Names one backup of a session. */
export interface BackupId {
  readonly epoch: number
  /** 1 or more; 0 is an epoch's opening manifest, which holds no backup. */
  readonly sequence: number
}

/** A backup's table of contents. */
export interface Manifest extends BackupId {
  readonly sessionId: string
  /** Unix time in milliseconds, for people; nothing is decided by it. */
  readonly createdAt: number
  /** Random id of the process that writes this epoch. */
  readonly writer: string
  /** Newest backup of older epochs that this epoch goes on from; what an older writer leaves behind after it never counts. Null = there was none. */
  readonly continues: BackupId | null
  /** Sorted bytewise by path, the directory itself (path '') first; null in an opening manifest. */
  readonly entries: readonly Entry[] | null
}

/** One thing in the session's directory. Modes are the twelve permission bits; times are nanoseconds since 1970. */
export type Entry = DirectoryEntry | FileEntry | SymlinkEntry | LinkEntry

/** A directory, empty or not. */
export interface DirectoryEntry {
  readonly type: 'directory'
  readonly path: BytePath
  readonly mode: number
  readonly mtimeNs: bigint
}

/** A regular file; its content is its blobs in order. */
export interface FileEntry {
  readonly type: 'file'
  readonly path: BytePath
  readonly mode: number
  readonly mtimeNs: bigint
  readonly size: number
  readonly blobs: readonly BlobRef[]
}

/** A symbolic link, whatever it points to. */
export interface SymlinkEntry {
  readonly type: 'symlink'
  readonly path: BytePath
  readonly target: BytePath
  readonly mtimeNs: bigint
}

/** A further name of a file that stands before it in the manifest. */
export interface LinkEntry {
  readonly type: 'link'
  readonly path: BytePath
  readonly to: BytePath
}

/** What a manifest's bytes begin with, up to the checksum. */
export const CHECKSUM_HEAD = '{"sha256":"'

/** What stands between the checksum and the text that it is over. */
export const CHECKSUM_MIDDLE = '","manifest":'

/** What a manifest's bytes end with. */
export const CHECKSUM_TAIL = '}\n'

/** The bytes of a manifest: one JSON object of two members, the SHA-256 of the second member's exact text and that member. `entriesText` is `entriesJson(entries)`, made once. */
export function serializeManifest(manifest: Omit<Manifest, 'entries'>, entriesText: string): Buffer {
  const { sessionId, epoch, sequence, createdAt, writer, continues } = manifest
  const head = {
    format: 'fairlead-backup',
    version: MANIFEST_VERSION,
    session: sessionId,
    epoch,
    sequence,
    created: new Date(createdAt).toISOString(),
    writer,
    continues: continues && { epoch: continues.epoch, sequence: continues.sequence }
  }
  const body = `${JSON.stringify(head).slice(0, -1)},"entries":${entriesText}}`
  return Buffer.from(`${CHECKSUM_HEAD}${hash('sha256', body)}${CHECKSUM_MIDDLE}${body}${CHECKSUM_TAIL}`)
}

/** The entries as JSON, one a line; `null` for an opening manifest. Equal entries give equal text. */
export function entriesJson(entries: readonly Entry[] | null): string {
  return entries === null ? 'null' : `[\n${entries.map(entry => JSON.stringify(wireEntry(entry))).join(',\n')}\n]`
}

function wireEntry(entry: Entry): object {
  const path = toWirePath(entry.path)
  switch (entry.type) {
    case 'directory':
      return { type: 'directory', path, mode: entry.mode, mtimeNs: String(entry.mtimeNs) }
    case 'file': {
      const { mode, mtimeNs, size, blobs } = entry
      return { type: 'file', path, mode, mtimeNs: String(mtimeNs), size, blobs }
    }
    case 'symlink':
      return { type: 'symlink', path, target: toWirePath(entry.target), mtimeNs: String(entry.mtimeNs) }
    case 'link':
      return { type: 'link', path, to: toWirePath(entry.to) }
  }
}

/** How many files a backup holds (hard links once) and the sum of their sizes. */
export function totals(entries: readonly Entry[]): { files: number; bytes: number } {
  const files = entries.filter(entry => entry.type === 'file')
  return { files: files.length, bytes: files.reduce((sum, file) => sum + file.size, 0) }
}

/** The hash of every blob that the entries need. */
export function blobHashes(entries: readonly Entry[]): Set<string> {
  const hashes = new Set<string>()
  for (const entry of entries) if (entry.type === 'file') for (const blob of entry.blobs) hashes.add(blob.sha256)
  return hashes
}
