import { errorText } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { SessionState } from '../../lib/registry-schema.ts'
import type { SessionBackup } from '../backup/session-backup.ts'
import { PodError } from '../errors.ts'
import { withinMs } from '../within.ts'
import type { CommandRunner } from './commands/command-runner.ts'
import type { SaveSchedule } from './save-schedule.ts'
import { nextPhase, statusOf } from './transitions.ts'
import type { SessionEvent, SessionPhase, SessionStatus } from './transitions.ts'

/** How long requests may take to notice that their session has ended. */
const USERS_LEAVE_MS = 5_000

/** What a session is made of; the manager makes it. */
export interface SessionParts {
  readonly id: string
  readonly epoch: number
  readonly agent: string
  /** Unix time in milliseconds. */
  readonly createdAt: number
  /** The directory that its commands see, absolute. */
  readonly directory: string
  readonly backup: SessionBackup
  readonly saves: SaveSchedule
  readonly runner: CommandRunner
  /** 0 = never suspended for being idle. */
  readonly idleTimeoutMs: number
  /** Tells the registry; never rejects, and nobody waits for it. */
  readonly announce: (session: Session, state: SessionState) => void
  readonly log: Logger
}

/** One request's hold on a session: while it lasts the session is not suspended. `end` must be called, and is idempotent. */
export interface SessionUse {
  /** Aborts, with the PodError to answer, when the session ends under the request. */
  readonly signal: AbortSignal
  end(): void
}

/** How a session leaves this pod. */
export interface SessionEnd {
  /** What requests that still run are told. */
  readonly abortWith: PodError
  /** What requests that come meanwhile, or after, are told. */
  readonly refuseWith: PodError
  /** Run when nobody uses the session and its processes are dead; its failure is the caller's. */
  readonly last?: () => Promise<void>
}

/** One attempt to suspend. */
interface Suspension {
  done: Promise<void>
}

/**
 * One session on the pod that holds it: who uses it, and the phases it goes through. Owns its idle timer and its save
 * schedule; `end` closes both. The count of uses and the phase change together, without a wait between, so that a
 * suspension and a new request cannot cross.
 */
export class Session {
  readonly id: string
  readonly agent: string
  readonly createdAt: number
  readonly directory: string
  readonly backup: SessionBackup
  readonly saves: SaveSchedule
  readonly #parts: SessionParts
  #epoch: number
  #phase: SessionPhase = 'active'
  readonly #uses = new Set<AbortController>()
  #idleTimer: NodeJS.Timeout | undefined
  #suspension: Suspension | null = null
  #ending: Promise<void> | null = null
  #refuseWith: PodError | null = null
  #onUnused: (() => void) | null = null

  constructor(parts: SessionParts) {
    this.id = parts.id
    this.agent = parts.agent
    this.createdAt = parts.createdAt
    this.directory = parts.directory
    this.backup = parts.backup
    this.saves = parts.saves
    this.#parts = parts
    this.#epoch = parts.epoch
    this.#armIdle()
  }

  get epoch(): number {
    return this.#epoch
  }

  get status(): SessionStatus {
    return statusOf(this.#phase)
  }

  get state(): SessionState {
    return this.#phase === 'suspended' ? 'suspended' : 'active'
  }

  /** True until the session begins to leave this pod. */
  get isHeld(): boolean {
    return this.#phase !== 'ending' && this.#phase !== 'ended'
  }

  get isUsed(): boolean {
    return this.#uses.size > 0
  }

  /** Goes on at a newer epoch with the state that is here: nobody else owned the session in between. */
  adopt(epoch: number): void {
    this.#epoch = epoch
  }

  /** Begins a use and wakes a suspended session. Where the session is leaving, waits for that and rejects with what is to be answered. */
  async begin(): Promise<SessionUse> {
    if (!this.#apply('use')) {
      await this.gone()
      throw this.#refuseWith ?? new PodError('session-ended', 'The session has ended.')
    }
    const controller = new AbortController()
    this.#uses.add(controller)
    clearTimeout(this.#idleTimer)
    if (this.#phase === 'resuming') this.#resumed()
    return { signal: controller.signal, end: () => this.#finish(controller) }
  }

  /** Starts the idle time anew; does not wake a suspended session. */
  touch(): void {
    if (this.#phase === 'active' && !this.isUsed) this.#armIdle()
  }

  /** Suspends the session: ends its last processes and makes a backup. `session-busy` while somebody uses it; fine when it is suspended already. */
  async suspend(): Promise<void> {
    if (this.#phase === 'suspended') return
    if (this.#phase === 'suspending' && this.#suspension !== null) return this.#suspension.done
    if (this.isUsed || !this.#apply('suspend')) {
      throw new PodError('session-busy', 'The session is in use: a request or a command of it is still running.')
    }
    clearTimeout(this.#idleTimer)
    const suspension: Suspension = { done: Promise.resolve() }
    this.#suspension = suspension
    suspension.done = this.#runSuspension(suspension)
    await suspension.done
  }

  /** Wakes a suspended session; fine when it is awake. */
  async resume(): Promise<void> {
    const use = await this.begin()
    use.end()
  }

  /** Resolves when nobody uses the session; at the latest when it has ended. */
  async unused(): Promise<void> {
    if (!this.isUsed) return
    await new Promise<void>(resolve => {
      const before = this.#onUnused
      this.#onUnused = () => {
        before?.()
        resolve()
      }
    })
  }

  /** Resolves when a session on its way out is gone, however that went; at once for any other. */
  async gone(): Promise<void> {
    await this.#ending?.catch(() => undefined)
  }

  /** Takes the session off this pod: no new uses, running ones are aborted, processes killed, then `last`. Called twice, both get the first end. */
  end(how: SessionEnd): Promise<void> {
    if (this.#ending !== null) return this.#ending
    this.#apply('end')
    this.#refuseWith = how.refuseWith
    clearTimeout(this.#idleTimer)
    this.#ending = this.#runEnd(how)
    // Requests wait for it too, whatever its outcome.
    this.#ending.catch(() => undefined)
    return this.#ending
  }

  async #runEnd(how: SessionEnd): Promise<void> {
    for (const controller of this.#uses) controller.abort(how.abortWith)
    await withinMs(USERS_LEAVE_MS, this.unused())
    try {
      await this.#sweep(() => true)
      await how.last?.()
    } finally {
      this.#apply('ended')
      await this.saves.close()
    }
  }

  async #runSuspension(suspension: Suspension): Promise<void> {
    // A use calls a suspension off, and a second suspension may begin while the first is still at its backup.
    const isStill = (): boolean => this.#phase === 'suspending' && this.#suspension === suspension
    await this.#sweep(isStill)
    // A failed save is logged and tried again by the schedule; the files stay here either way.
    await this.saves.saveNow().catch(() => undefined)
    if (!isStill()) return
    this.#apply('suspended')
    this.#parts.log.info({ session: this.id }, 'session suspended')
    this.#parts.announce(this, 'suspended')
  }

  #resumed(): void {
    this.#apply('resumed')
    this.#parts.log.info({ session: this.id }, 'session resumed')
    this.#parts.announce(this, 'active')
  }

  #finish(controller: AbortController): void {
    if (!this.#uses.delete(controller) || this.isUsed) return
    this.#onUnused?.()
    this.#onUnused = null
    if (this.isHeld) this.#armIdle()
  }

  #armIdle(): void {
    clearTimeout(this.#idleTimer)
    if (this.#parts.idleTimeoutMs === 0) return
    this.#idleTimer = setTimeout(() => {
      this.suspend().catch((error: unknown) => {
        this.#parts.log.error({ session: this.id, reason: errorText(error) }, 'cannot suspend idle session')
      })
    }, this.#parts.idleTimeoutMs)
  }

  async #sweep(still: () => boolean): Promise<void> {
    try {
      const killed = await this.#parts.runner.sweep(this.directory, { still })
      if (killed > 0) this.#parts.log.info({ session: this.id, killed }, 'ended processes that had left their group')
    } catch (error) {
      this.#parts.log.error({ session: this.id, reason: errorText(error) }, 'cannot look for left processes')
    }
  }

  #apply(event: SessionEvent): boolean {
    const next = nextPhase(this.#phase, event)
    if (next === null) return false
    this.#phase = next
    return true
  }
}
