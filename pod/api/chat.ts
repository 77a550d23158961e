import type { AgentDefinition } from '../agents/definition.ts'
import { PodError } from '../errors.ts'
import type { Route, SessionCall } from '../http/call.ts'

const ENDPOINTS = [
  ['POST', '/chat'],
  ['POST', '/chat/stream'],
  ['POST', '/steer'],
  ['GET', '/messages']
] as const

/** The endpoints of a conversation with a model, which this pod cannot hold: each says so. */
export function chatRoutes(definitions: ReadonlyMap<string, AgentDefinition>): Route[] {
  return ENDPOINTS.map(([method, verb]) => ({
    kind: 'session',
    method,
    path: `/instances/:id${verb}`,
    dialect: 'regina',
    access: 'look',
    idInPath: true,
    handle: call => refuse(call, definitions)
  }))
}

async function refuse(call: SessionCall, definitions: ReadonlyMap<string, AgentDefinition>): Promise<void> {
  const { agent } = call.session
  const model = definitions.get(agent)?.model ?? null
  throw new PodError(
    'no-model',
    model === null
      ? `Agent definition "${agent}" has no model: its instances run commands and keep files, and cannot chat.`
      : `Agent definition "${agent}" names the model "${model}", but this pod has no support for models yet.`
  )
}
