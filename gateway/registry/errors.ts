import { FairleadError } from '../../lib/errors.ts'

export { RegistryUnavailableError } from '../../lib/registry-errors.ts'

/** Somebody has a session of that id; code `session-taken`. */
export class SessionTakenError extends FairleadError {
  constructor(id: string) {
    super('session-taken', `Session ${id} exists`)
  }
}

/** No live member takes a session of that agent now; code `no-member`. */
export class NoMemberError extends FairleadError {
  constructor(agent: string) {
    super('no-member', `No live member takes sessions of agent ${JSON.stringify(agent)}`)
  }
}

/** The session was removed meanwhile; code `session-gone`. */
export class SessionGoneError extends FairleadError {
  constructor(id: string) {
    super('session-gone', `Session ${id} was removed`)
  }
}
