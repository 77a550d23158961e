import type { AssertedSession } from '../../lib/registry-client.ts'
import type { Logger } from '../../lib/log.ts'
import { errorText } from '../../lib/errors.ts'
import { notOwner, sessionMoved } from '../errors.ts'
import type { OwnedSessions } from '../member.ts'
import type { DataDirectory } from './data-directory.ts'
import type { Session } from './session.ts'

/** The sessions that are on this pod, and how they are lost. */
export class SessionTable implements OwnedSessions {
  readonly #sessions = new Map<string, Session>()
  readonly #losses = new Set<Promise<void>>()
  readonly #data: DataDirectory
  readonly #log: Logger

  constructor(options: { data: DataDirectory; log: Logger }) {
    this.#data = options.data
    this.#log = options.log
  }

  get size(): number {
    return this.#sessions.size
  }

  /** The session of that id, which may be on its way out. */
  get(id: string): Session | undefined {
    return this.#sessions.get(id)
  }

  /** Every session that is not on its way out. */
  held(): Session[] {
    return [...this.#sessions.values()].filter(session => session.isHeld)
  }

  owned(): readonly AssertedSession[] {
    return this.held().map(({ id, epoch, agent, state, createdAt }) => ({ id, epoch, agent, state, createdAt }))
  }

  add(session: Session): void {
    this.#sessions.set(session.id, session)
  }

  /** Forgets a session, if it is still this one. */
  remove(session: Session): void {
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id)
  }

  lose(id: string, reason: string): void {
    const session = this.#sessions.get(id)
    if (session?.isHeld === true) this.#lose(session, { reason, last: () => this.#data.discard(id) })
  }

  abandonAll(reason: string): void {
    for (const session of this.held()) this.#lose(session, { reason, last: () => Promise.resolve() })
  }

  #lose(session: Session, options: { reason: string; last: () => Promise<void> }): void {
    const { id, epoch } = session
    this.#log.warn({ session: id, epoch, reason: options.reason }, 'session lost: its processes end, nothing is saved')
    const loss = this.#drop(session, options.last).catch((error: unknown) => {
      this.#log.error({ session: id, reason: errorText(error) }, 'cannot drop lost session')
    })
    this.#losses.add(loss)
    void loss.finally(() => this.#losses.delete(loss))
  }

  /** Drops a session that somebody else owns: nothing of it is written any more. Resolves when it is gone. */
  async #drop(session: Session, last: () => Promise<void>): Promise<void> {
    try {
      await session.end({ abortWith: sessionMoved(session.id), refuseWith: notOwner(session.id), last })
    } finally {
      this.remove(session)
    }
  }

  /** Resolves when every session that was lost is gone. */
  async settled(): Promise<void> {
    await Promise.all(this.#losses)
  }
}
