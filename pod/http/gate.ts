import { fenced } from '../errors.ts'
import type { Lease } from '../lease.ts'
import type { SessionManager } from '../session/manager.ts'
import type { Session } from '../session/session.ts'
import type { Identity } from './identity.ts'

/** What stands before everything that acts on a session: the lease, then the epoch. Nothing of a request's body is read before. */
export class Gate {
  readonly #lease: Lease
  readonly #manager: SessionManager

  constructor(options: { lease: Lease; manager: SessionManager }) {
    this.#lease = options.lease
    this.#manager = options.manager
  }

  /** True while the lease is good. */
  get isOpen(): boolean {
    return this.#lease.isGood()
  }

  /** Like `isOpen`, but waits where the lease is just being asked for: after an outage of the registry it is not good until every session was asserted. */
  async opens(): Promise<boolean> {
    if (!this.isOpen) await this.#lease.settled()
    return this.isOpen
  }

  /** Throws `fenced` unless the lease is good right now. */
  check(): void {
    if (!this.#lease.isGood()) throw fenced()
  }

  /** The session that a request is for, held here at the right epoch. Asks for the lease again after every wait. */
  async admit({ id, epoch }: Identity): Promise<Session> {
    this.check()
    const found = this.#manager.find(id, epoch)
    if (!(found instanceof Promise)) return found
    const session = await found
    this.check()
    return session
  }
}
