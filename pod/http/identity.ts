import type { IncomingMessage } from 'node:http'
import { isDnsLabel } from '../../lib/ids.ts'
import { EPOCH_HEADER, SESSION_HEADER } from '../../lib/protocol.ts'
import { PodError } from '../errors.ts'
import type { Dialect } from '../errors.ts'

/** Header by which clients of agent-sandbox name a session. */
export const SANDBOX_ID_HEADER = 'x-sandbox-id'
const SANDBOX_PORT_HEADER = 'x-sandbox-port'
const SERVED_PORT = '8888'
const EPOCH = /^[1-9]\d{0,14}$/

/** Which session a request is for, and at what epoch its sender believes it. */
export interface Identity {
  readonly id: string
  /** Null: the client talks to the pod itself. */
  readonly epoch: number | null
}

/** The session's id as the request's headers name it, or null where none does. A gateway's word counts before a client's. */
export function idFromHeaders(request: IncomingMessage): string | null {
  return header(request, SESSION_HEADER) ?? header(request, SANDBOX_ID_HEADER)
}

/** Reads and checks who a request is for. The path's id, where the route has one, must be the headers'. `no-session`, `bad-id`, `identity-mismatch`, `bad-epoch`. */
export function identify(request: IncomingMessage, options: { dialect: Dialect; idInPath: string | null }): Identity {
  const { dialect, idInPath } = options
  const named = idFromHeaders(request)
  const id = named ?? idInPath
  if (id === null) throw new PodError('no-session', 'X-Sandbox-ID header is required.')
  if (!isDnsLabel(id)) {
    throw new PodError('bad-id', dialect === 'sandbox' ? 'Invalid sandbox ID format.' : 'Invalid instance id format.')
  }
  if (idInPath !== null && idInPath !== id) {
    throw new PodError('identity-mismatch', 'The path and the headers name different sessions.')
  }
  return { id, epoch: epochOf(request) }
}

/** The epoch that the gateway sent, or null. */
export function epochOf(request: IncomingMessage): number | null {
  const text = header(request, EPOCH_HEADER)
  if (text === null) return null
  if (!EPOCH.test(text)) throw new PodError('bad-epoch', 'X-Fairlead-Epoch must be a positive integer.')
  return Number(text)
}

/** Refuses what is addressed to another port of a sandbox than the one that its API has. */
export function checkPort(request: IncomingMessage): void {
  const port = header(request, SANDBOX_PORT_HEADER) ?? SERVED_PORT
  if (port === SERVED_PORT || port === '') return
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535) throw new PodError('bad-request', 'Invalid port format.')
  throw new PodError(
    'port-not-served',
    `Port ${port} is not served: sessions of this pod have port ${SERVED_PORT} only.`
  )
}

/** A header's value; null where it is absent. Node joins repeated ones with a comma, which no id and no number holds. */
function header(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name]
  return typeof value === 'string' ? value : null
}
