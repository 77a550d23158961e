import { FairleadError } from '../../lib/errors.ts'

/** Code `stale-epoch`: the store holds a higher epoch of the session, or this epoch with another writer; whoever gets it no longer owns the session and must drop it. */
export class StaleEpochError extends FairleadError {
  /** The highest epoch that the store holds. */
  readonly storeEpoch: number

  constructor(sessionId: string, options: { epoch: number; storeEpoch: number; cause?: unknown }) {
    const { epoch, storeEpoch, cause } = options
    const found = storeEpoch === epoch ? 'that epoch has another writer' : `the store is at epoch ${storeEpoch}`
    super(
      'stale-epoch',
      `session ${sessionId}: epoch ${epoch} may not write, ${found}`,
      cause === undefined ? {} : { cause }
    )
    this.storeEpoch = storeEpoch
  }
}

/** Code `backup-damaged`: a manifest or blob is missing, truncated or not what its checksum says, and nothing good is left to restore. */
export class BackupDamagedError extends FairleadError {
  constructor(message: string, options?: ErrorOptions) {
    super('backup-damaged', message, options)
  }
}

/** Code `backup-directory`: the session's own directory is missing, not a directory or not empty, or the disk below it failed; the store is not at fault. */
export class BackupDirectoryError extends FairleadError {
  constructor(message: string, options?: ErrorOptions) {
    super('backup-directory', message, options)
  }
}

/** Why a store did not do what it was asked: `store-lost` = the epoch's own place vanished although no higher epoch exists (open it again), `store-failed` = anything else. */
export type StoreFaultCode = 'store-full' | 'store-read-only' | 'store-missing' | 'store-lost' | 'store-failed'

/** The store could not be read or written, see the code; says nothing of the backups in it, and the same call may succeed later. */
export class StoreUnavailableError extends FairleadError {
  declare readonly code: StoreFaultCode

  constructor(fault: StoreFaultCode, message: string, options?: ErrorOptions) {
    super(fault, `backup store: ${message}`, options)
  }
}

/** Code `object-missing`: one manifest or blob is not in the store. Stores throw it; SessionBackup turns it into damage. */
export class ObjectMissingError extends FairleadError {
  constructor(message: string, options?: ErrorOptions) {
    super('object-missing', message, options)
  }
}

/** Code `manifest-exists`: the manifest's place is taken by other content, so the epoch has a second writer. Stores throw it; SessionBackup turns it into a StaleEpochError. */
export class ManifestExistsError extends FairleadError {
  constructor(message: string, options?: ErrorOptions) {
    super('manifest-exists', message, options)
  }
}
