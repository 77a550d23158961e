import type { BackupStore, BlobRef, EpochRef } from './backup/store.ts'
import type { Limiter } from './backup/limiter.ts'
import { fenced } from './errors.ts'
import type { Lease } from './lease.ts'

/** A backup store that writes only while the lease allows it; each single write asks, because a save may be frozen in the middle of its way. Reads pass. */
export class LeasedStore implements BackupStore {
  readonly #store: BackupStore
  readonly #lease: Pick<Lease, 'mayWrite'>

  constructor(store: BackupStore, lease: Pick<Lease, 'mayWrite'>) {
    this.#store = store
    this.#lease = lease
  }

  get url(): string {
    return this.#store.url
  }

  get slots(): Limiter {
    return this.#store.slots
  }

  epochs(sessionId: string): Promise<readonly number[]> {
    return this.#store.epochs(sessionId)
  }

  sequences(at: EpochRef): Promise<readonly number[]> {
    return this.#store.sequences(at)
  }

  readManifest(at: EpochRef, sequence: number): Promise<Buffer> {
    return this.#store.readManifest(at, sequence)
  }

  blobs(at: EpochRef): Promise<readonly string[]> {
    return this.#store.blobs(at)
  }

  readBlob(at: EpochRef, blob: BlobRef): Promise<Buffer<ArrayBuffer>> {
    return this.#store.readBlob(at, blob)
  }

  async fence(at: EpochRef): Promise<void> {
    this.#check()
    await this.#store.fence(at)
  }

  async writeManifest(at: EpochRef, sequence: number, data: Buffer): Promise<void> {
    this.#check()
    await this.#store.writeManifest(at, sequence, data)
  }

  async removeManifest(at: EpochRef, sequence: number): Promise<void> {
    this.#check()
    await this.#store.removeManifest(at, sequence)
  }

  async writeBlob(at: EpochRef, sha256: string, data: Buffer): Promise<void> {
    this.#check()
    await this.#store.writeBlob(at, sha256, data)
  }

  async bringBlob(from: EpochRef, to: EpochRef, sha256: string): Promise<boolean> {
    this.#check()
    return this.#store.bringBlob(from, to, sha256)
  }

  async removeBlob(at: EpochRef, sha256: string): Promise<void> {
    this.#check()
    await this.#store.removeBlob(at, sha256)
  }

  async removeEpoch(at: EpochRef): Promise<void> {
    this.#check()
    await this.#store.removeEpoch(at)
  }

  async removeSession(sessionId: string): Promise<void> {
    this.#check()
    await this.#store.removeSession(sessionId)
  }

  #check(): void {
    if (!this.#lease.mayWrite()) throw fenced()
  }
}
