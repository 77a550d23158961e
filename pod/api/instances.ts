import { isDnsLabel } from '../../lib/ids.ts'
import type { AgentDefinition } from '../agents/definition.ts'
import { PodError } from '../errors.ts'
import { sendJson, sendNothing } from '../http/answer.ts'
import { readJsonObject } from '../http/body.ts'
import type { BodyLimits } from '../http/body.ts'
import type { Call, Route, SessionCall } from '../http/call.ts'
import type { Gate } from '../http/gate.ts'
import { epochOf, idFromHeaders } from '../http/identity.ts'
import type { SessionManager } from '../session/manager.ts'
import type { Session } from '../session/session.ts'
import { findDefinition } from './agents.ts'

/** What the endpoints of instances (Regina's word for sessions) need. */
export interface InstanceSettings {
  readonly definitions: ReadonlyMap<string, AgentDefinition>
  readonly manager: SessionManager
  readonly gate: Gate
  readonly limits: BodyLimits
  readonly memberId: string
  readonly bootId: string
}

/** `POST` and `GET /agents/:defId/instances`, `GET` and `DELETE /instances/:id`, and its verbs. */
export function instanceRoutes(settings: InstanceSettings): Route[] {
  const { manager } = settings
  return [
    plain('POST', call => create(call, settings)),
    plain('GET', call => list(call, settings)),
    onInstance('GET', '', async call => sendJson(call.response, 200, explain(call.session, settings))),
    onInstance('DELETE', '', async call => {
      await manager.delete(call.session)
      sendNothing(call.response)
    }),
    onInstance('POST', '/heartbeat', async call => {
      call.session.touch()
      sendNothing(call.response)
    }),
    onInstance('POST', '/suspend', async call => {
      await call.session.suspend()
      sendNothing(call.response)
    }),
    onInstance('POST', '/resume', async call => {
      await call.session.resume()
      sendNothing(call.response)
    })
  ]
}

type PlainMethod = 'GET' | 'POST'

function plain(method: PlainMethod, handle: (call: Call) => Promise<void>): Route {
  return { kind: 'plain', method, path: '/agents/:defId/instances', dialect: 'regina', handle }
}

/** None of these is a use: what wakes or suspends a session says so itself. */
function onInstance(method: string, verb: string, handle: (call: SessionCall) => Promise<void>): Route {
  const path = `/instances/:id${verb}`
  return { kind: 'session', method, path, dialect: 'regina', access: 'look', idInPath: true, handle }
}

async function create(call: Call, settings: InstanceSettings): Promise<void> {
  const { definitions, manager, gate, limits } = settings
  gate.check()
  const definition = findDefinition(definitions, call.params[0])
  const epoch = epochOf(call.request)
  const { instanceId } = await readJsonObject(call, limits)
  const id = chosenId(call, instanceId)
  if (epoch !== null && id === null) throw new PodError('no-session', 'A claimed session needs its id.')
  gate.check()
  const session = await manager.create({ id, agent: definition.id }, epoch)
  sendJson(call.response, 201, summarize(session))
}

/** The id that the headers or the body chose, or null. */
function chosenId(call: Call, inBody: unknown): string | null {
  const inHeaders = idFromHeaders(call.request)
  if (inBody !== undefined && typeof inBody !== 'string') throw new PodError('bad-id', 'instanceId must be a text.')
  if (inHeaders !== null && inBody !== undefined && inBody !== inHeaders) {
    throw new PodError('identity-mismatch', 'The body and the headers name different sessions.')
  }
  const id = inHeaders ?? inBody ?? null
  if (id !== null && !isDnsLabel(id)) throw new PodError('bad-id', 'Invalid instance id format.')
  return id
}

async function list(call: Call, settings: InstanceSettings): Promise<void> {
  const definition = findDefinition(settings.definitions, call.params[0])
  const sessions = settings.manager.list().filter(session => session.agent === definition.id)
  sendJson(call.response, 200, sessions.map(summarize))
}

function summarize(session: Session): object {
  return { instanceId: session.id, definitionId: session.agent, status: session.status }
}

function explain(session: Session, settings: InstanceSettings): object {
  return {
    id: session.id,
    ...summarize(session),
    epoch: session.epoch,
    createdAt: session.createdAt,
    memberId: settings.memberId,
    bootId: settings.bootId,
    pid: process.pid
  }
}
