import { createServer } from 'node:http'
import { isAgentId } from '../../lib/registry-schema.ts'
import { codeOf } from '../request/session-finder.ts'
import { withoutQuery } from '../request/route-key.ts'
import { explainSession } from './explain.ts'
import { gather, mergeLists, missingFields } from './gather.ts'
import { readJsonObject, sendError, sendJson, sendText } from './http-io.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Logger } from '../../lib/log.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { MemberEntry, Registry } from '../registry/registry.ts'
import type { Gathered } from './gather.ts'
import type { MemberClient } from './member-client.ts'
import type { SessionCreator } from './session-creator.ts'

/** What the server works with; times in milliseconds. */
export interface ManagementOptions {
  readonly registry: Registry
  readonly creator: SessionCreator
  readonly client: MemberClient
  readonly metrics: GatewayMetrics
  readonly gatherTimeoutMs: number
  readonly log: Logger
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** The gateway's own API. Listens nowhere: the proxy hands it connections, so it gets only requests that passed the proxy's checks. */
export class ManagementServer {
  readonly #options: ManagementOptions
  readonly #server: Server

  constructor(options: ManagementOptions) {
    this.#options = options
    this.#server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
      void this.#serve(request, response)
    })
  }

  /** Takes over one end of an in-process connection. */
  connect(duplex: Duplex): void {
    this.#server.emit('connection', duplex)
  }

  /** Ends the connections that are left. */
  close(): void {
    this.#server.closeAllConnections()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#handlerOf(request)(request, response)
    } catch (error) {
      this.#fail(error, request, response)
    }
  }

  #fail(error: unknown, request: IncomingMessage, response: ServerResponse): void {
    if (request.destroyed && !request.complete) return
    try {
      sendError(response, codeOf(error))
    } catch (unforeseen) {
      this.#options.log.error({ err: unforeseen, path: withoutQuery(request.url ?? '') }, 'management request failed')
      if (response.headersSent) response.destroy()
      else sendError(response, 'internal')
    }
  }

  #handlerOf(request: IncomingMessage): Handler {
    const [first, second, third, ...more] = withoutQuery(request.url ?? '')
      .slice(1)
      .split('/')
    if (more.length > 0 || third === '') return notFound
    if (first === 'instances') return byMethod(request, { GET: (_, response) => this.#explain(second ?? '', response) })
    if (first !== 'agents') return notFound
    if (second === undefined) return byMethod(request, { GET: (_, response) => this.#listAgents(response) })
    if (third === undefined) return byMethod(request, { GET: (_, response) => this.#showAgent(second, response) })
    if (third !== 'instances') return notFound
    return byMethod(request, {
      GET: (_, response) => this.#listInstances(second, response),
      POST: (incoming, response) => this.#create(second, incoming, response)
    })
  }

  async #explain(id: string, response: ServerResponse): Promise<void> {
    const explanation = await explainSession(this.#options.registry, id)
    if (explanation === null) sendError(response, 'session-unknown', { id })
    else sendJson(response, 200, { value: explanation })
  }

  async #listAgents(response: ServerResponse): Promise<void> {
    const gathered = await this.#gather('/agents')
    if (gathered === null) sendError(response, 'registry-unavailable')
    else sendJson(response, 200, { value: mergeLists(gathered, { key: 'id' }), fields: missingFields(gathered) })
  }

  async #showAgent(path: string, response: ServerResponse): Promise<void> {
    const gathered = await this.#gather(`/agents/${path}`)
    if (gathered === null) return sendError(response, 'registry-unavailable')
    const [first] = gathered.answers
    const fields = missingFields(gathered)
    if (first !== undefined) sendJson(response, 200, { value: first.value, fields })
    else sendError(response, gathered.missing.length > 0 ? 'no-member' : 'agent-unknown', { fields })
  }

  async #listInstances(path: string, response: ServerResponse): Promise<void> {
    const gathered = await this.#gather(`/agents/${path}/instances`)
    if (gathered === null) return sendError(response, 'registry-unavailable')
    const fields = missingFields(gathered)
    const isUnknown = gathered.unknownTo > 0 && gathered.answers.length === 0 && gathered.missing.length === 0
    if (isUnknown) return sendError(response, 'agent-unknown', { fields })
    const prefers = (item: Record<string, unknown>, member: MemberEntry) => this.#owns(member, item['instanceId'])
    sendJson(response, 200, { value: mergeLists(gathered, { key: 'instanceId', prefers }), fields })
  }

  /** A pod that was frozen may still list a session that moved on; the routing table knows better, where it knows anything. */
  #owns(member: MemberEntry, id: unknown): boolean {
    return typeof id === 'string' && this.#options.registry.cached(id)?.record.owner === member.id
  }

  async #gather(path: string): Promise<Gathered | null> {
    const { registry, client, metrics, gatherTimeoutMs } = this.#options
    const members = registry.members()
    if (members.length === 0 && !registry.available) return null
    const gathered = await gather(client, members, { path, timeoutMs: gatherTimeoutMs })
    metrics.missing(gathered.missing.length)
    return gathered
  }

  async #create(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJsonObject(request)
    if (typeof body === 'string') return sendError(response, body)
    const agent = decodeSegment(path)
    if (agent === null || this.#isUnknown(agent)) return sendError(response, 'agent-unknown')
    const creation = await this.#options.creator.create({ agent, path, body })
    if ('code' in creation) sendError(response, creation.code, { id: creation.id })
    else sendText(response, creation.answer.status, { text: creation.answer.text })
  }

  /** No live pod serves it. Where there is no pod at all, nobody can tell. */
  #isUnknown(agent: string): boolean {
    const members = this.#options.registry.members()
    return members.length > 0 && members.every(({ agents }) => agents.length > 0 && !agents.includes(agent))
  }
}

const notFound: Handler = (_, response) => {
  sendError(response, 'route-unknown')
  return Promise.resolve()
}

function byMethod(request: IncomingMessage, handlers: Partial<Record<string, Handler>>): Handler {
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '')
  const allow = Object.keys(handlers).join(', ')
  return (
    handlers[method] ??
    ((_, response) => {
      sendError(response, 'method-not-allowed', { fields: { Allow: allow } })
      return Promise.resolve()
    })
  )
}

function decodeSegment(segment: string): string | null {
  try {
    const agent = decodeURIComponent(segment)
    return isAgentId(agent) && agent !== '.' && agent !== '..' ? agent : null
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}
