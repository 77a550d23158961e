import type { AgentDefinition } from '../agents/definition.ts'
import { PodError } from '../errors.ts'
import { sendJson } from '../http/answer.ts'
import type { Route } from '../http/call.ts'
import { decodePath } from '../files/session-path.ts'

/** `GET /agents` and `GET /agents/:defId`. */
export function agentRoutes(definitions: ReadonlyMap<string, AgentDefinition>): Route[] {
  return [
    {
      kind: 'plain',
      method: 'GET',
      path: '/agents',
      dialect: 'regina',
      handle: async call => sendJson(call.response, 200, [...definitions.values()].map(describe))
    },
    {
      kind: 'plain',
      method: 'GET',
      path: '/agents/:defId',
      dialect: 'regina',
      handle: async call => sendJson(call.response, 200, describe(findDefinition(definitions, call.params[0])))
    }
  ]
}

/** The definition of that id, as it stands in a path; `unknown-definition` in the words of Regina's contract. */
export function findDefinition(
  definitions: ReadonlyMap<string, AgentDefinition>,
  idInPath: string | undefined
): AgentDefinition {
  const definition = definitions.get(decodePath(idInPath ?? ''))
  if (definition === undefined) throw new PodError('unknown-definition', 'Agent definition not found')
  return definition
}

/** What clients are told of a definition; the system prompt stays here. */
function describe(definition: AgentDefinition): object {
  const { id, name, description, model, provider, tools, delegates, greeting } = definition
  return { id, name, description, model, provider, tools, delegates, greeting }
}
