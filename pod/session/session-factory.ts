import { errorText } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { RegistryClient } from '../../lib/registry-client.ts'
import type { SessionState } from '../../lib/registry-schema.ts'
import { SessionBackup } from '../backup/session-backup.ts'
import type { BackupStore } from '../backup/store.ts'
import { fenced } from '../errors.ts'
import type { Lease } from '../lease.ts'
import { keepDirectory } from '../files/keep-directory.ts'
import type { CommandRunner } from './commands/command-runner.ts'
import { SaveSchedule } from './save-schedule.ts'
import type { DataDirectory } from './data-directory.ts'
import { Session } from './session.ts'

/** What all sessions of a pod share. */
export interface SessionSurroundings {
  readonly registry: RegistryClient
  readonly lease: Lease
  readonly store: BackupStore
  readonly data: DataDirectory
  readonly runner: CommandRunner
  readonly idleTimeoutMs: number
  readonly backupDelayMs: number
  readonly log: Logger
}

/** Who a session is, and the epoch it begins with here. */
export interface SessionFacts {
  readonly id: string
  readonly epoch: number
  readonly agent: string
  readonly createdAt: number
}

/** Makes the backup object of a session; does no I/O. */
export function makeBackup(id: string, around: SessionSurroundings): SessionBackup {
  const { store, data, log } = around
  return new SessionBackup({ store, sessionId: id, directory: data.filesOf(id), log })
}

/** Puts a session together around its backup; `lose` is called when the store turns out to hold a newer epoch. Does no I/O. */
export function makeSession(
  facts: SessionFacts,
  options: { backup: SessionBackup; around: SessionSurroundings; lose: (id: string, reason: string) => void }
): Session {
  const { backup, around, lose } = options
  const log = around.log.child({ session: facts.id })
  return new Session({
    ...facts,
    directory: around.data.filesOf(facts.id),
    backup,
    saves: new SaveSchedule({
      save: () => save(backup, { directory: around.data.filesOf(facts.id), lease: around.lease, log }),
      delayMs: around.backupDelayMs,
      leftMs: () => around.lease.leftMs(),
      onStale: error => lose(facts.id, error.message),
      log
    }),
    runner: around.runner,
    idleTimeoutMs: around.idleTimeoutMs,
    announce: (session, state) => void announce(session, { state, around }),
    log
  })
}

async function save(
  backup: SessionBackup,
  options: { directory: string; lease: Lease; log: Logger }
): Promise<{ again: boolean }> {
  if (!options.lease.mayWrite()) throw fenced()
  await keepDirectory(options.directory)
  const { unstable, left, ...report } = await backup.save()
  if (report.changed) options.log.debug(report, 'backup made')
  if (unstable.length > 0)
    options.log.warn({ unstable: unstable.slice(0, 10) }, 'files changed while they were backed up')
  if (left.length > 0) options.log.warn({ left: left.slice(0, 10) }, 'files left out of the backup')
  return { again: unstable.length > 0 }
}

async function announce(
  session: Session,
  options: { state: SessionState; around: SessionSurroundings }
): Promise<void> {
  const { registry, log } = options.around
  try {
    await registry.setState(session, options.state)
  } catch (error) {
    // The registry's word on this is for people; what counts is here.
    log.warn({ session: session.id, reason: errorText(error) }, 'cannot tell the registry the state')
  }
}
