import { hash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { FairleadError, errorText } from '../../lib/errors.ts'
import { showPath } from './byte-path.ts'
import { EpochWriter } from './epoch-writer.ts'
import { BackupDamagedError, ObjectMissingError, StoreUnavailableError } from './errors.ts'
import { hashChunk } from './hash-chunk.ts'
import { lineage } from './lineage.ts'
import { blobHashes, entriesJson, totals } from './manifest.ts'
import { prepareRestore, restoreTree } from './restore-tree.ts'
import { SerialQueue } from './serial-queue.ts'
import { takeSnapshot } from './snapshot.ts'
import { TreeRoot } from './tree-root.ts'
import type { Logger } from '../../lib/log.ts'
import type { BytePath } from './byte-path.ts'
import type { BlobSource } from './epoch-writer.ts'
import type { GoodManifest } from './lineage.ts'
import type { BackupId } from './manifest.ts'
import type { LeftOutReason } from './scan-directory.ts'
import type { KnownFile, Snapshot, UnstableFile } from './snapshot.ts'
import type { BackupStore } from './store.ts'

/** A backup that was passed over because it is damaged, and why. */
export interface SkippedBackup extends BackupId {
  readonly reason: string
}

/** What `restore` did. */
export interface RestoreReport {
  /** False: the store holds no backup of this session, and the directory is there and empty. */
  readonly restored: boolean
  /** Epoch and sequence of the backup that was restored, 0 for none. */
  readonly epoch: number
  readonly sequence: number
  readonly files: number
  readonly bytes: number
  /** Newer backups that were damaged; empty in health. */
  readonly skipped: readonly SkippedBackup[]
}

/** What `save` did. */
export interface SaveReport {
  /** False: nothing differs from the last backup, and none was written. */
  readonly changed: boolean
  /** Of the newest backup in this epoch. */
  readonly sequence: number
  /** Files in the backup (hard links once), and the sum of their sizes. */
  readonly files: number
  readonly bytes: number
  /** Content that this save wrote to the store. */
  readonly sentBytes: number
  /** Files that kept changing while they were read; save again later. Paths are for people. */
  readonly unstable: readonly UnstableFile[]
  /** What is not kept (fifo, socket, device) or could not be read; an unreadable file stands as in the backup before, an unreadable directory without content. Paths are for people. */
  readonly left: readonly { readonly path: string; readonly reason: LeftOutReason }[]
}

/**
 * The backups of one session, as its owner sees them.
 *
 * Calls may overlap: they run one after the other, and saves that wait are joined into one. Nothing needs closing; `idle` waits for housekeeping.
 * Errors: StaleEpochError (no longer the owner, drop the session), StoreUnavailableError (may succeed later), BackupDamagedError (nothing good is
 * left), BackupDirectoryError (the session's own directory), code `backup-not-open` for a save before `open`.
 */
export class SessionBackup {
  readonly #store: BackupStore
  readonly #sessionId: string
  readonly #directory: string
  readonly #log: Logger | undefined
  readonly #queue = new SerialQueue()
  #waitingSave: Promise<SaveReport> | undefined
  #writer: EpochWriter | undefined
  #known: ReadonlyMap<BytePath, KnownFile> = new Map()
  #sources: readonly BlobSource[] = []
  #restored: BackupId | undefined
  #lastEntries = ''

  /** @param options.directory the session's directory; its parent must exist and be on the same file system */
  constructor(options: { store: BackupStore; sessionId: string; directory: string; log?: Logger }) {
    this.#store = options.store
    this.#sessionId = options.sessionId
    this.#directory = options.directory
    this.#log = options.log
  }

  /**
   * Fences: once it returns, the store knows this epoch, and no writer of an older one is told that anything is saved.
   * Again for the same epoch: fine in the same process. StaleEpochError for a higher epoch in the store, or this one opened by another process.
   */
  open(epoch: number): Promise<void> {
    return this.#queue.run(async () => {
      const before = this.#writer
      const writer = await EpochWriter.open(this.#store, { sessionId: this.#sessionId, epoch })
      if (before !== undefined && before.at.epoch < epoch) this.#sources = [before.source]
      writer.goOnFrom(this.#sources, this.#restored)
      this.#writer = writer
      this.#lastEntries = ''
    })
  }

  /**
   * Puts the newest good backup of any epoch into the directory, which must be empty or missing, verified before it is there at all.
   * Damaged ones are passed over, reported and logged as errors; when none is good, BackupDamagedError, never an empty session.
   */
  restore(): Promise<RestoreReport> {
    return this.#queue.run(() => this.#restore())
  }

  /** Makes a backup of the directory as it is now; durable when it returns. StaleEpochError when the session has moved on: then nothing is saved. */
  save(): Promise<SaveReport> {
    this.#waitingSave ??= this.#queue.run(() => {
      this.#waitingSave = undefined
      return this.#save()
    })
    return this.#waitingSave
  }

  /** Removes every backup of this session; StaleEpochError when it has moved on. */
  remove(): Promise<void> {
    return this.#queue.run(async () => {
      await this.#writer?.checkCurrent().catch(unlessLost)
      await this.#store.removeSession(this.#sessionId)
      this.#writer = undefined
      this.#known = new Map()
      this.#sources = []
      this.#restored = undefined
    })
  }

  /** Settles once all calls until now and their housekeeping have ended; never fails. */
  idle(): Promise<void> {
    return this.#queue.idle()
  }

  async #save(): Promise<SaveReport> {
    const writer = this.#writer
    if (writer === undefined)
      throw new FairleadError('backup-not-open', `session ${this.#sessionId}: backup is not open`)
    const sentBefore = writer.sentBytes
    try {
      await writer.checkCurrent()
      writer.begin()
      const snapshot = await this.#snapshot(writer)
      this.#known = snapshot.known
      const changed = await this.#publish(writer, snapshot)
      return saveReport(snapshot, { changed, sequence: writer.sequence, sentBytes: writer.sentBytes - sentBefore })
    } catch (error) {
      await this.#afterFailure(writer, error)
      throw error
    }
  }

  async #snapshot(writer: EpochWriter): Promise<Snapshot> {
    await using root = await TreeRoot.open(this.#directory)
    return await takeSnapshot({
      root,
      slots: this.#store.slots,
      known: this.#known,
      keep: entry => writer.keep(entry),
      take: data => writer.take(data),
      measure: hashChunk
    })
  }

  async #publish(writer: EpochWriter, snapshot: Snapshot): Promise<boolean> {
    const text = entriesJson(snapshot.entries)
    const digest = hash('sha256', text)
    if (digest === this.#lastEntries) return false
    await writer.publish(snapshot.entries, text)
    this.#lastEntries = digest
    // The backup is durable: its caller need not wait for the tidying up, the next call does.
    void this.#queue
      .run(() => writer.tidy())
      .catch((error: unknown) => {
        this.#log?.warn({ session: this.#sessionId, error: errorText(error) }, 'could not remove old backups')
      })
    return true
  }

  async #afterFailure(writer: EpochWriter, error: unknown): Promise<void> {
    if (!(error instanceof StoreUnavailableError)) return
    // A place that vanished belongs to a newer owner or to nobody: never made again but by `open`.
    if (error.code === 'store-lost') this.#writer = undefined
    if (error.code !== 'store-full') return
    await writer.dropFresh().catch((failure: unknown) => {
      this.#log?.warn({ session: this.#sessionId, error: errorText(failure) }, 'could not remove a failed backup')
    })
  }

  async #restore(): Promise<RestoreReport> {
    await this.#writer?.checkCurrent()
    await prepareRestore(this.#directory)
    const skipped: SkippedBackup[] = []
    for await (const step of lineage(this.#store, this.#sessionId)) {
      const damaged = 'damaged' in step ? step.damaged : await this.#tryRestore(step.manifest)
      if (damaged !== null) {
        this.#log?.error({ session: this.#sessionId, ...damaged }, 'backup is damaged, going on to the one before')
        skipped.push(damaged)
      } else if ('manifest' in step) return this.#restoredFrom(step.manifest, skipped)
    }
    if (skipped.length > 0) throw new BackupDamagedError(noneGood(this.#sessionId, skipped))
    await mkdir(this.#directory, { recursive: true })
    return { restored: false, epoch: 0, sequence: 0, files: 0, bytes: 0, skipped }
  }

  async #tryRestore(manifest: GoodManifest): Promise<SkippedBackup | null> {
    try {
      this.#known = await restoreTree({ store: this.#store, manifest }, this.#directory)
      return null
    } catch (error) {
      if (!(error instanceof BackupDamagedError || error instanceof ObjectMissingError)) throw error
      return { epoch: manifest.epoch, sequence: manifest.sequence, reason: errorText(error) }
    }
  }

  #restoredFrom(manifest: GoodManifest, skipped: readonly SkippedBackup[]): RestoreReport {
    const { sessionId, epoch, sequence, entries } = manifest
    const source = { at: { sessionId, epoch }, hashes: blobHashes(entries) }
    this.#restored = { epoch, sequence }
    this.#sources = [source]
    this.#lastEntries = ''
    this.#writer?.goOnFrom(this.#sources, this.#restored)
    if (skipped.length > 0) this.#writer?.trustOnly(epoch === this.#writer.at.epoch ? source.hashes : new Set())
    return { restored: true, epoch, sequence, ...totals(entries), skipped }
  }
}

function saveReport(snapshot: Snapshot, facts: Pick<SaveReport, 'changed' | 'sequence' | 'sentBytes'>): SaveReport {
  const { entries, unstable, left } = snapshot
  return {
    ...facts,
    ...totals(entries),
    unstable: unstable.map(({ path, saved }) => ({ path: showPath(path), saved })),
    left: left.map(({ path, reason }) => ({ path: showPath(path), reason }))
  }
}

function noneGood(sessionId: string, skipped: readonly SkippedBackup[]): string {
  const reasons = skipped.map(({ epoch, sequence, reason }) => `${epoch}/${sequence}: ${reason}`)
  return `session ${sessionId}: no good backup is left (${reasons.join('; ')})`
}

/** A session whose place in the store is gone has nothing to remove. */
function unlessLost(error: unknown): void {
  if (!(error instanceof StoreUnavailableError && error.code === 'store-lost')) throw error
}
