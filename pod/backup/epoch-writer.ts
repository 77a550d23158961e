import { randomUUID } from 'node:crypto'
import {
  BackupDamagedError,
  ManifestExistsError,
  ObjectMissingError,
  StaleEpochError,
  StoreUnavailableError
} from './errors.ts'
import { hashChunk } from './hash-chunk.ts'
import { lineage } from './lineage.ts'
import { blobHashes, entriesJson, serializeManifest } from './manifest.ts'
import { parseManifest } from './parse-manifest.ts'
import type { BackupId, Entry, FileEntry, Manifest } from './manifest.ts'
import type { BackupStore, BlobRef, EpochRef } from './store.ts'

/** This process as a writer: an epoch belongs to one run of one pod. */
const PROCESS_WRITER = randomUUID()

// Backups that are kept of the current epoch.
const KEEP = 3

/** An older epoch whose content the session's directory was restored or kept from. */
export interface BlobSource {
  readonly at: EpochRef
  readonly hashes: ReadonlySet<string>
}

/** The one writer of one epoch of a session. Not for overlapping use, but `take` and `keep` may overlap. */
export class EpochWriter {
  readonly at: EpochRef
  readonly #store: BackupStore
  #next: number
  #continues: BackupId | null
  /** Blobs in this epoch's place; those in `#doubted` are there but proved bad, or were never proved good. */
  readonly #stored: Set<string>
  #doubted = new Set<string>()
  #kept: { sequence: number; hashes: ReadonlySet<string> }[]
  readonly #writing = new Map<string, Promise<void>>()
  #fresh: string[] = []
  #sentBytes = 0
  #sources: readonly BlobSource[] = []

  private constructor(store: BackupStore, state: OpenEpoch) {
    this.#store = store
    this.at = state.at
    this.#continues = state.continues
    this.#stored = new Set(state.blobs)
    this.#kept = state.backups.map(({ sequence, entries }) => ({ sequence, hashes: blobHashes(entries ?? []) }))
    this.#next = state.nextSequence
  }

  /**
   * Fences a session's epoch: from when this returns, no older epoch's writer is told that anything is saved. Idempotent in one process.
   * Throws StaleEpochError for a higher epoch in the store, and when another process has opened this one.
   */
  static async open(store: BackupStore, at: EpochRef): Promise<EpochWriter> {
    await checkHighest(store, at)
    const sequences = await store.sequences(at)
    if (sequences.length > 0) return new EpochWriter(store, await adopt(store, { at, sequences }))
    await store.fence(at)
    // Two that fence at once: the lower one sees the higher.
    await checkHighest(store, at)
    const continues = await newestBackup(store, at.sessionId)
    const head = { ...at, sequence: 0, createdAt: Date.now(), writer: PROCESS_WRITER, continues }
    try {
      await store.writeManifest(at, 0, serializeManifest(head, entriesJson(null)))
    } catch (error) {
      if (!(error instanceof ManifestExistsError)) throw error
      return new EpochWriter(store, await adopt(store, { at, sequences: await store.sequences(at) }))
    }
    return new EpochWriter(store, { at, continues, blobs: await store.blobs(at), backups: [], nextSequence: 1 })
  }

  /** Content written to the store by this writer, in bytes. */
  get sentBytes(): number {
    return this.#sentBytes
  }

  /** Newest backup of this epoch, 0 for none. */
  get sequence(): number {
    return this.#kept.at(-1)?.sequence ?? 0
  }

  /** This epoch as a source for the next one. */
  get source(): BlobSource {
    return { at: this.at, hashes: new Set([...this.#stored].filter(sha256 => !this.#doubted.has(sha256))) }
  }

  /** Says where content may be brought over from, and what the session's directory was made from. */
  goOnFrom(sources: readonly BlobSource[], restored?: BackupId): void {
    this.#sources = sources.filter(({ at }) => at.epoch < this.at.epoch)
    if (restored !== undefined && restored.epoch < this.at.epoch) this.#continues = restored
  }

  /** After damage was found in this epoch: content outside of these hashes is written anew when it is next needed. */
  trustOnly(hashes: ReadonlySet<string>): void {
    this.#doubted = this.#stored.difference(hashes)
  }

  /** Throws StaleEpochError when the session has moved on, `store-lost` when the epoch's place is gone. */
  async checkCurrent(): Promise<void> {
    const epochs = await checkHighest(this.#store, this.at)
    if (!epochs.includes(this.at.epoch))
      throw new StoreUnavailableError('store-lost', `epoch ${this.at.epoch} of session ${this.at.sessionId} is gone`)
  }

  /** Starts a save: what was written before belongs to no failure that follows. */
  begin(): void {
    this.#fresh = []
  }

  /** Makes sure that the epoch has this content. */
  async take(data: Buffer<ArrayBuffer>): Promise<BlobRef> {
    const blob = await hashChunk(data)
    if (!(await this.#has(blob.sha256))) await this.#write(blob, data)
    return blob
  }

  /** Makes sure that the epoch has a file's content without having it at hand; false = it cannot. */
  async keep(entry: FileEntry): Promise<boolean> {
    for (const { sha256 } of entry.blobs) {
      if (!(await this.#has(sha256))) return false
    }
    return true
  }

  /** Makes a backup of the entries, whose content has been taken or kept. Once it returns, the backup is durable and the next owner will see it. */
  async publish(entries: readonly Entry[], entriesText: string): Promise<number> {
    await this.checkCurrent()
    // Never used twice: after a failure it is not known whether the manifest lies there.
    const sequence = this.#next++
    const head = { ...this.at, sequence, createdAt: Date.now(), writer: PROCESS_WRITER, continues: this.#continues }
    try {
      await this.#store.writeManifest(this.at, sequence, serializeManifest(head, entriesText))
    } catch (error) {
      throw error instanceof ManifestExistsError ? secondWriter(this.at, error) : error
    }
    this.#kept.push({ sequence, hashes: blobHashes(entries) })
    await this.#confirm(sequence)
    return sequence
  }

  /** Frees the space that a failed save took. */
  async dropFresh(): Promise<void> {
    for (const sha256 of this.#fresh.splice(0)) {
      await this.#drop(sha256)
    }
  }

  /** Removes backups beyond the newest few, content that none needs, and older epochs once they are not needed to have a backup before the newest. */
  async tidy(): Promise<void> {
    const surplus = this.#kept.slice(0, -KEEP)
    for (const { sequence } of surplus) {
      await this.#store.removeManifest(this.at, sequence)
      this.#kept.shift()
    }
    if (surplus.length > 0) await this.#dropUnneeded()
    await this.#dropOlderEpochs()
  }

  /** A writer that was frozen before its manifest was in place finds here that the session has moved on. */
  async #confirm(sequence: number): Promise<void> {
    try {
      await this.checkCurrent()
    } catch (error) {
      if (error instanceof StaleEpochError) {
        // The next owner's opening manifest says where it goes on from, so a manifest that stays here does no harm.
        await this.#store.removeManifest(this.at, sequence).catch(() => undefined)
        this.#kept.pop()
      }
      throw error
    }
  }

  async #has(sha256: string): Promise<boolean> {
    await this.#writing.get(sha256)
    if (this.#stored.has(sha256) && !this.#doubted.has(sha256)) return true
    for (const { at, hashes } of this.#sources) {
      if (hashes.has(sha256) && !this.#doubted.has(sha256) && (await this.#store.bringBlob(at, this.at, sha256))) {
        this.#stored.add(sha256)
        return true
      }
    }
    return false
  }

  async #write(blob: BlobRef, data: Buffer): Promise<void> {
    const { sha256, size } = blob
    // Equal content may have come in while this was looked for.
    const other = this.#writing.get(sha256)
    if (other !== undefined) return await other
    const writing = this.#store.writeBlob(this.at, sha256, data)
    this.#writing.set(sha256, writing)
    try {
      await writing
    } finally {
      this.#writing.delete(sha256)
    }
    this.#sentBytes += size
    this.#stored.add(sha256)
    this.#doubted.delete(sha256)
    this.#fresh.push(sha256)
  }

  async #drop(sha256: string): Promise<void> {
    this.#stored.delete(sha256)
    await this.#store.removeBlob(this.at, sha256)
  }

  async #dropUnneeded(): Promise<void> {
    const needed = new Set<string>()
    for (const { hashes } of this.#kept) for (const sha256 of hashes) needed.add(sha256)
    for (const sha256 of this.#stored.difference(needed)) {
      await this.#drop(sha256)
    }
  }

  async #dropOlderEpochs(): Promise<void> {
    const older = (await checkHighest(this.#store, this.at)).filter(epoch => epoch < this.at.epoch)
    // With one backup of our own, the one before it is where this epoch went on from; with none to name, older epochs are all there is.
    const spared = this.#kept.length < 2 ? this.#continues?.epoch : 0
    if (spared === undefined) return
    for (const epoch of older) {
      if (epoch !== spared) await this.#store.removeEpoch({ ...this.at, epoch })
    }
  }
}

interface OpenEpoch {
  readonly at: EpochRef
  readonly continues: BackupId | null
  readonly blobs: readonly string[]
  readonly backups: readonly Manifest[]
  readonly nextSequence: number
}

async function checkHighest(store: BackupStore, at: EpochRef): Promise<readonly number[]> {
  const epochs = await store.epochs(at.sessionId)
  const storeEpoch = epochs.at(-1) ?? 0
  if (storeEpoch > at.epoch) throw new StaleEpochError(at.sessionId, { epoch: at.epoch, storeEpoch })
  return epochs
}

/** Takes an epoch up that this process opened before. */
async function adopt(store: BackupStore, place: { at: EpochRef; sequences: readonly number[] }): Promise<OpenEpoch> {
  const { at, sequences } = place
  const opening = await readOwn(store, { ...at, sequence: 0 })
  const backups = []
  for (const sequence of sequences.filter(candidate => candidate > 0)) {
    backups.push(await readOwn(store, { ...at, sequence }))
  }
  return {
    at,
    continues: opening.continues,
    blobs: await store.blobs(at),
    backups,
    nextSequence: (sequences.at(-1) ?? 0) + 1
  }
}

async function readOwn(store: BackupStore, id: EpochRef & BackupId): Promise<Manifest> {
  try {
    const manifest = parseManifest(await store.readManifest(id, id.sequence), id)
    if (manifest.writer === PROCESS_WRITER) return manifest
  } catch (error) {
    // Whose it was cannot be told any more: leave it alone, a higher epoch is free.
    if (error instanceof BackupDamagedError || error instanceof ObjectMissingError) throw secondWriter(id, error)
    throw error
  }
  throw secondWriter(id)
}

function secondWriter(at: EpochRef, cause?: Error): StaleEpochError {
  return new StaleEpochError(at.sessionId, { epoch: at.epoch, storeEpoch: at.epoch, cause })
}

/** Damaged or not: a restore must meet what is damaged, to say so and to choose the one before it knowingly. */
async function newestBackup(store: BackupStore, sessionId: string): Promise<BackupId | null> {
  for await (const step of lineage(store, sessionId)) {
    const { epoch, sequence } = 'manifest' in step ? step.manifest : step.damaged
    return { epoch, sequence }
  }
  return null
}
