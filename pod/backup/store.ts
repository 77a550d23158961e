import type { Limiter } from './limiter.ts'

/** One epoch of one session: the place in a store that exactly one writer fills. */
export interface EpochRef {
  /** A DNS label. */
  readonly sessionId: string
  /** 1 or more. */
  readonly epoch: number
}

/** A piece of a file's content, at most `MAX_BLOB_BYTES`, under the hash of its bytes. */
export interface BlobRef {
  /** Lower-case hex. */
  readonly sha256: string
  readonly size: number
}

/** Largest blob, in bytes; readers refuse more. Blobs are held in memory whole. */
export const MAX_BLOB_BYTES = 16 * 1024 * 1024

/** Largest manifest, in bytes; about a million files. */
export const MAX_MANIFEST_BYTES = 256 * 1024 * 1024

/**
 * Where backups lie: dumb, durable storage without locks and without conditional writes.
 *
 * Every epoch of a session is a place of its own. Fencing rests on three promises, which every store keeps:
 * 1. Once `fence` has returned, every later `epochs` call, in any process, lists that epoch.
 * 2. Once `writeManifest` has returned, the manifest and every blob written to its epoch before survive a power cut, and every
 *    later `sequences` call lists it. Until then nobody sees any of it, or all of it: never a part.
 * 3. No call touches an epoch other than the one it names.
 *
 * A writer publishes and then looks for a higher epoch; a new owner fences and then looks for manifests. So whatever the old writer was
 * told is saved, the new owner has seen.
 *
 * Failures are `StoreUnavailableError`, unless stated otherwise. Stores do not check content: readers do, end to end.
 */
export interface BackupStore {
  /** For messages; holds no credentials. */
  readonly url: string
  /** How many transfers this store takes at once, shared by all sessions of the process; bounds the memory that blobs take. */
  readonly slots: Limiter
  /** Every epoch of the session that was ever fenced and not removed, ascending; empty for an unknown session. */
  epochs(sessionId: string): Promise<readonly number[]>
  /** Makes the epoch known; idempotent. */
  fence(at: EpochRef): Promise<void>
  /** Sequences of the epoch's manifests, ascending; empty when the epoch is unknown. */
  sequences(at: EpochRef): Promise<readonly number[]>
  /** Throws ObjectMissingError when there is none, BackupDamagedError when it is larger than MAX_MANIFEST_BYTES. */
  readManifest(at: EpochRef, sequence: number): Promise<Buffer>
  /** Never replaces: ManifestExistsError when other content lies there, success when the same does. `store-lost` when the epoch's place is gone. */
  writeManifest(at: EpochRef, sequence: number, data: Buffer): Promise<void>
  /** Fine when there is none. */
  removeManifest(at: EpochRef, sequence: number): Promise<void>
  /** Hashes of the epoch's blobs. */
  blobs(at: EpochRef): Promise<readonly string[]>
  /** Throws ObjectMissingError when there is none, BackupDamagedError when it is not of that size. The caller checks the hash. */
  readBlob(at: EpochRef, blob: BlobRef): Promise<Buffer<ArrayBuffer>>
  /** The caller has computed the hash. Durable only with the next manifest. `store-lost` when the epoch's place is gone. */
  writeBlob(at: EpochRef, sha256: string, data: Buffer): Promise<void>
  /** Brings a blob from an older epoch over without sending it again, so that no act of the older writer can reach it; false when it is not there any more. */
  bringBlob(from: EpochRef, to: EpochRef, sha256: string): Promise<boolean>
  /** Fine when there is none. */
  removeBlob(at: EpochRef, sha256: string): Promise<void>
  /** Removes an epoch with all it holds; at once as readers see it. Fine when there is none. */
  removeEpoch(at: EpochRef): Promise<void>
  /** Removes all epochs of a session; at once as readers see it. Fine when there is none. */
  removeSession(sessionId: string): Promise<void>
}
