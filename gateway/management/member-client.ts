import { Agent } from 'undici'
import { EPOCH_HEADER, REFUSED_HEADER, SESSION_HEADER } from '../../lib/protocol.ts'
import { isObject } from './http-io.ts'
import type { MemberEntry, SessionEntry } from '../registry/registry.ts'

/** A pod's answer. */
export interface MemberAnswer {
  readonly status: number
  readonly text: string
  /** Value of the refusal header; empty where it is absent. */
  readonly refusal: string
}

/** Whether the request can have had an effect. */
export type MemberFault = 'refused' | 'unreachable' | 'lost'

/** What came of a request to a pod. */
export type MemberResult = { readonly answer: MemberAnswer } | { readonly fault: MemberFault; readonly error: Error }

/** One request of the gateway's own to a pod. */
export interface MemberRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly timeoutMs: number
  readonly session?: SessionEntry
  readonly body?: string
}

const MAX_ANSWER_BYTES = 16 * 1024 * 1024
const UNSENT_CODES = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN'
])

/** Sends requests of the gateway's own to pods: bounded in time and size, no redirects. */
export class MemberClient {
  readonly #agent: Agent

  constructor(options: { connectTimeoutMs: number }) {
    this.#agent = new Agent({
      connect: { timeout: options.connectTimeoutMs },
      connections: 64,
      pipelining: 1,
      keepAliveTimeout: 4_000,
      maxResponseSize: MAX_ANSWER_BYTES
    })
  }

  /** Asks a pod; never rejects. */
  async ask(member: MemberEntry, options: MemberRequest): Promise<MemberResult> {
    try {
      return { answer: await this.#askInTime(member, options) }
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown))
      return { fault: faultOf(error), error }
    }
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  /** undici looks at a request's signal only once it has a connection, so the wait for one is bounded here. */
  async #askInTime(member: MemberEntry, options: MemberRequest): Promise<MemberAnswer> {
    const abort = new AbortController()
    const expired = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      const error = new Error(`no answer within ${options.timeoutMs} ms`)
      abort.abort(error)
      expired.reject(error)
    }, options.timeoutMs)
    try {
      return await Promise.race([this.#ask(member, options, abort.signal), expired.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #ask(member: MemberEntry, options: MemberRequest, signal: AbortSignal): Promise<MemberAnswer> {
    const { method, path, body, session } = options
    // The path goes out as it is; a URL would resolve its dot segments.
    const response = await this.#agent.request({
      origin: `http://${member.upstream.address}`,
      path,
      method,
      headers: headersOf(session, body),
      ...(body !== undefined && { body }),
      signal
    })
    const refused = response.headers[REFUSED_HEADER]
    const text = await response.body.text()
    return { status: response.statusCode, text, refusal: typeof refused === 'string' ? refused : '' }
  }
}

function headersOf(session: SessionEntry | undefined, body: string | undefined): Record<string, string> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (session !== undefined) {
    headers[SESSION_HEADER] = session.record.id
    headers[EPOCH_HEADER] = String(session.record.epoch)
  }
  return headers
}

function faultOf(error: Error): MemberFault {
  const code: unknown = isObject(error) ? error['code'] : undefined
  if (code === 'ECONNREFUSED') return 'refused'
  return typeof code === 'string' && UNSENT_CODES.has(code) ? 'unreachable' : 'lost'
}
