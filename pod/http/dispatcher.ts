import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../../lib/log.ts'
import { ERROR_ANSWERS, PodError, asPodError, sessionMoved } from '../errors.ts'
import type { Dialect } from '../errors.ts'
import type { Session } from '../session/session.ts'
import { sendError } from './answer.ts'
import type { Access, Call, Route, SessionCall } from './call.ts'
import type { Gate } from './gate.ts'
import { checkPort, identify } from './identity.ts'
import type { Router } from './router.ts'

const ACTIVITY_HEADER = 'x-fairlead-activity'

/** What a dispatcher needs. */
export interface DispatcherOptions {
  readonly router: Router
  readonly gate: Gate
  /** Answers wait until what they tell of is in the backup store. */
  readonly isSync: boolean
  readonly log: Logger
}

type SessionRoute = Extract<Route, { kind: 'session' }>

/** Takes a request from its head to its answer: route, gate, use of the session, handler, and whatever goes wrong on the way. */
export class Dispatcher {
  readonly #options: DispatcherOptions

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  /** Answers a request. Never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const client = new AbortController()
    response.once('close', () => {
      if (!response.writableFinished) client.abort(new PodError('bad-request', 'The client has left.'))
    })
    const match = this.#options.router.match(request.method ?? '', request.url ?? '')
    const dialect = match.kind === 'found' ? match.route.dialect : match.dialect
    try {
      if (match.kind === 'unknown') throw new PodError('unknown-route', 'Not Found')
      if (match.kind === 'bad-method') throw badMethod(match.allow)
      const { route, params } = match
      const call = { request, response, params, dialect, signal: client.signal }
      if (route.kind === 'plain') await route.handle(call)
      else await this.#serveSession(route, call, client)
    } catch (error) {
      this.#fail(error, { request, response, dialect })
    }
  }

  async #serveSession(route: SessionRoute, call: Call, client: AbortController): Promise<void> {
    if (route.dialect === 'sandbox') checkPort(call.request)
    const idInPath = route.idInPath ? (call.params[0] ?? null) : null
    const session = await this.#options.gate.admit(identify(call.request, { dialect: route.dialect, idInPath }))
    const sessionCall: SessionCall = { ...call, session, changed: () => this.#changed(session) }
    if (accessOf(route.access, call.request) === 'look') return route.handle(sessionCall)
    const use = await session.begin()
    const onEnd = (): void => client.abort(use.signal.reason)
    use.signal.addEventListener('abort', onEnd)
    try {
      await route.handle(sessionCall)
    } finally {
      use.end()
    }
  }

  async #changed(session: Session): Promise<void> {
    session.saves.markDirty()
    if (this.#options.isSync) {
      await session.saves.saveNow().catch((error: unknown) => {
        throw new PodError('not-durable', 'It was done, but could not be made durable.', { cause: error })
      })
    }
    // A pod that slept through its lease must not vouch for what nobody will see again.
    if (!(await this.#options.gate.opens()) || !session.isHeld) throw sessionMoved(session.id)
  }

  #fail(thrown: unknown, on: { request: IncomingMessage; response: ServerResponse; dialect: Dialect }): void {
    const error = asPodError(thrown)
    const { status } = ERROR_ANSWERS[error.code]
    if (status === 500) {
      this.#options.log.error({ err: error.cause, method: on.request.method, code: error.code }, 'request failed')
    } else this.#options.log.debug({ code: error.code, reason: error.message }, 'request refused')
    sendError(on.response, error, on.dialect)
  }
}

function accessOf(access: Access, request: IncomingMessage): Access {
  return access === 'use' && request.headers[ACTIVITY_HEADER] === 'none' ? 'look' : access
}

function badMethod(allow: readonly string[]): PodError {
  return new PodError('bad-method', 'Method Not Allowed', { headers: { allow: allow.join(', ') } })
}
