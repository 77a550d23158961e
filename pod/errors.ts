import { FairleadError } from '../lib/errors.ts'
import { EPOCH_HEADER } from '../lib/protocol.ts'
import type { RefusalReason } from '../lib/protocol.ts'
import { RegistryUnavailableError } from '../lib/registry-errors.ts'
import { BackupDamagedError, StaleEpochError, StoreUnavailableError } from './backup/errors.ts'

/** Everything that can be wrong with a request, as the pod names it; stable and fit for a program. */
export type PodErrorCode =
  | 'bad-request'
  | 'bad-id'
  | 'bad-epoch'
  | 'bad-path'
  | 'identity-mismatch'
  | 'no-session'
  | 'outside'
  | 'path-missing'
  | 'not-a-file'
  | 'not-a-directory'
  | 'too-large'
  | 'body-timeout'
  | 'bad-media-type'
  | 'unknown-route'
  | 'bad-method'
  | 'unknown-session'
  | 'unknown-definition'
  | 'session-taken'
  | 'session-busy'
  | 'session-ended'
  | 'session-moved'
  | 'epoch-behind'
  | 'not-owner'
  | 'fenced'
  | 'draining'
  | 'full'
  | 'registry-unavailable'
  | 'store-unavailable'
  | 'backup-damaged'
  | 'not-durable'
  | 'port-not-served'
  | 'no-model'
  | 'internal'

/** How an error is answered. */
export interface ErrorAnswer {
  readonly status: number
  /** Says that nothing was acted upon, and why; a gateway may send the request again. */
  readonly refused?: RefusalReason
  /** Value of `Retry-After`, in seconds. */
  readonly retryAfterS?: number
}

/** The one place where the pod chooses a status code. */
export const ERROR_ANSWERS: Readonly<Record<PodErrorCode, ErrorAnswer>> = {
  'bad-request': { status: 400 },
  'bad-id': { status: 400 },
  'bad-epoch': { status: 400 },
  'bad-path': { status: 400 },
  'identity-mismatch': { status: 400 },
  'no-session': { status: 400 },
  outside: { status: 403 },
  'path-missing': { status: 404 },
  'not-a-file': { status: 400 },
  'not-a-directory': { status: 400 },
  'too-large': { status: 413 },
  'body-timeout': { status: 408 },
  'bad-media-type': { status: 415 },
  'unknown-route': { status: 404 },
  'bad-method': { status: 405 },
  'unknown-session': { status: 404 },
  'unknown-definition': { status: 404 },
  'session-taken': { status: 409 },
  'session-busy': { status: 409 },
  'session-ended': { status: 410 },
  'session-moved': { status: 503 },
  'epoch-behind': { status: 409 },
  'not-owner': { status: 421, refused: 'not-owner' },
  fenced: { status: 503, refused: 'fenced', retryAfterS: 1 },
  draining: { status: 503, refused: 'draining', retryAfterS: 1 },
  full: { status: 503, retryAfterS: 5 },
  'registry-unavailable': { status: 503, retryAfterS: 1 },
  'store-unavailable': { status: 503, retryAfterS: 1 },
  'backup-damaged': { status: 500 },
  'not-durable': { status: 503 },
  'port-not-served': { status: 502 },
  'no-model': { status: 501 },
  internal: { status: 500 }
}

/** The two families of clients: agent-sandbox wants `{"detail":...}`, Regina `{"error":...}`. */
export type Dialect = 'sandbox' | 'regina'

const MESSAGE_FIELD: Readonly<Record<Dialect, 'detail' | 'error'>> = { sandbox: 'detail', regina: 'error' }

/** A request that the pod answers with an error; `code` decides the status, the message goes to the client as it is. */
export class PodError extends FairleadError {
  declare readonly code: PodErrorCode
  /** Further fields of the JSON body. */
  readonly fields: Readonly<Record<string, string | number>>
  /** Further headers of the answer. */
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: PodErrorCode,
    message: string,
    options: { cause?: unknown; fields?: Record<string, string | number>; headers?: Record<string, string> } = {}
  ) {
    super(code, message, { cause: options.cause })
    this.fields = options.fields ?? {}
    this.headers = options.headers ?? {}
  }
}

/** The JSON body of an error in a client's dialect. */
export function errorBody(error: PodError, dialect: Dialect): Readonly<Record<string, string | number>> {
  // Regina's clients know these words.
  const isInstance = error.code === 'unknown-session' && dialect === 'regina'
  return { [MESSAGE_FIELD[dialect]]: isInstance ? 'Instance not found' : error.message, ...error.fields }
}

/** Nobody has a session of that id. */
export function unknownSession(id: string): PodError {
  return new PodError('unknown-session', `Sandbox not found: ${id}`)
}

/** This pod does not own the session at the epoch that was asked for; `ownEpoch` is what it owns, 0 for nothing. Nothing was acted upon. */
export function notOwner(id: string, ownEpoch = 0): PodError {
  return new PodError('not-owner', `Session ${id} is not owned by this pod at that epoch.`, {
    headers: { [EPOCH_HEADER]: String(ownEpoch) }
  })
}

/** The pod's lease has run out: somebody else may own its sessions by now. Nothing was acted upon. */
export function fenced(): PodError {
  return new PodError('fenced', 'This pod has no lease at the moment.')
}

/** Whatever was thrown, as something to answer; what is unknown is `internal`, and its own words are not for clients. */
export function asPodError(thrown: unknown): PodError {
  if (thrown instanceof PodError) return thrown
  if (thrown instanceof RegistryUnavailableError) {
    return new PodError('registry-unavailable', 'The registry cannot be asked at the moment.', { cause: thrown })
  }
  if (thrown instanceof StaleEpochError) {
    const fields = { code: 'epoch-behind', storeEpoch: thrown.storeEpoch }
    return new PodError('epoch-behind', `The backup store is ahead: ${thrown.message}`, { fields, cause: thrown })
  }
  if (thrown instanceof BackupDamagedError) return new PodError('backup-damaged', thrown.message, { cause: thrown })
  if (thrown instanceof StoreUnavailableError) {
    return new PodError('store-unavailable', 'The backup store cannot be used at the moment.', { cause: thrown })
  }
  return new PodError('internal', 'Internal error of the pod.', { cause: thrown })
}

/** The session went to another pod, or may have, while the request ran here. */
export function sessionMoved(id: string): PodError {
  return new PodError('session-moved', `Session ${id} left this pod while the request ran; what it did may be lost.`)
}
