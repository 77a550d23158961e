import { errorText } from '../../lib/errors.ts'
import { BackupDamagedError, ObjectMissingError } from './errors.ts'
import { parseManifest } from './parse-manifest.ts'
import type { BackupId, Entry, Manifest } from './manifest.ts'
import type { BackupStore, EpochRef } from './store.ts'

/** A backup whose manifest is good; its blobs have not been looked at. */
export interface GoodManifest extends Manifest {
  readonly entries: readonly Entry[]
}

/** One step back in a session's history: a backup, or one that is damaged and why. */
export type LineageStep =
  | { readonly manifest: GoodManifest }
  | { readonly damaged: BackupId & { readonly reason: string } }

/**
 * A session's backups from the newest back, as they follow from one another: an epoch's own, then the one that it went on from and those before it.
 * What a fenced writer left behind after that one is passed over. Opening manifests are not steps.
 */
export async function* lineage(store: BackupStore, sessionId: string): AsyncGenerator<LineageStep> {
  let newest: BackupId | null = { epoch: Number.MAX_SAFE_INTEGER, sequence: Number.MAX_SAFE_INTEGER }
  let named = false
  for (const epoch of (await store.epochs(sessionId)).toReversed()) {
    if (newest === null || epoch > newest.epoch) continue
    const last: number = epoch === newest.epoch ? newest.sequence : Number.MAX_SAFE_INTEGER
    if (named && epoch < newest.epoch) yield missing(newest)
    const first: Manifest | null = yield* stepsOf(store, {
      at: { sessionId, epoch },
      last,
      named: named && epoch === newest.epoch
    })
    named = first !== null
    if (first !== null) newest = first.continues
  }
  if (named && newest !== null) yield missing(newest)
}

interface Stretch {
  readonly at: EpochRef
  /** Later sequences do not count. */
  readonly last: number
  /** The manifest `last` was named by a later epoch, so it must be there. */
  readonly named: boolean
}

/** Goes back through one epoch; returns the newest good manifest there, be it the opening one. */
async function* stepsOf(store: BackupStore, stretch: Stretch): AsyncGenerator<LineageStep, Manifest | null> {
  const { at, last, named } = stretch
  const sequences = (await store.sequences(at)).filter(sequence => sequence <= last)
  if (named && sequences.at(-1) !== last) yield missing({ epoch: at.epoch, sequence: last })
  let first: Manifest | null = null
  for (const sequence of sequences.toReversed()) {
    const step = await readStep(store, { ...at, sequence })
    if ('damaged' in step) yield step
    else {
      first ??= step.manifest
      if (hasEntries(step.manifest)) yield { manifest: step.manifest }
    }
  }
  return first
}

type ReadStep = { manifest: Manifest } | { damaged: BackupId & { reason: string } }

async function readStep(store: BackupStore, id: EpochRef & BackupId): Promise<ReadStep> {
  try {
    return { manifest: parseManifest(await store.readManifest(id, id.sequence), id) }
  } catch (error) {
    if (!(error instanceof BackupDamagedError || error instanceof ObjectMissingError)) throw error
    return { damaged: { epoch: id.epoch, sequence: id.sequence, reason: errorText(error) } }
  }
}

function hasEntries(manifest: Manifest): manifest is GoodManifest {
  return manifest.entries !== null
}

function missing(id: BackupId): LineageStep {
  return { damaged: { epoch: id.epoch, sequence: id.sequence, reason: 'manifest: missing' } }
}
