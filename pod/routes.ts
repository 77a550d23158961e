import type { AgentDefinition } from './agents/definition.ts'
import { agentRoutes } from './api/agents.ts'
import { chatRoutes } from './api/chat.ts'
import { executeStreamRoute } from './api/execute-stream.ts'
import { executeRoute } from './api/execute.ts'
import { fileRoutes } from './api/files.ts'
import { healthRoutes } from './api/health.ts'
import { instanceRoutes } from './api/instances.ts'
import { uploadRoute } from './api/upload.ts'
import type { PodConfig } from './config.ts'
import type { Route } from './http/call.ts'
import type { Gate } from './http/gate.ts'
import type { Member } from './member.ts'
import type { PodMetrics } from './metrics.ts'
import type { CommandRunner } from './session/commands/command-runner.ts'
import type { SessionManager } from './session/manager.ts'
import type { DataDirectory } from './session/data-directory.ts'

/** What the endpoints need of the pod. */
export interface RouteParts {
  readonly config: PodConfig
  /** Longest run of one command. */
  readonly timeoutMs: number
  readonly runner: CommandRunner
  readonly data: DataDirectory
  readonly definitions: ReadonlyMap<string, AgentDefinition>
  readonly manager: SessionManager
  readonly member: Member
  readonly gate: Gate
  readonly metrics: PodMetrics
  readonly memberId: string
  readonly bootId: string
}

/** Every endpoint of the pod. */
export function podRoutes(parts: RouteParts): Route[] {
  const { config, runner, timeoutMs, definitions, gate } = parts
  const { maxOutputBytes, maxStreamOutputBytes, maxUploadBytes, bodyTimeoutMs, maxRequestBytes } = config
  const limits = { maxRequestBytes, bodyTimeoutMs }
  const check = (): void => gate.check()
  const commands = { runner, limits, check, timeoutMs, path: config.commandPath }
  return [
    executeRoute(commands, maxOutputBytes),
    executeStreamRoute(commands, maxStreamOutputBytes),
    uploadRoute({ data: parts.data, maxUploadBytes, bodyTimeoutMs, check }),
    ...fileRoutes,
    ...agentRoutes(definitions),
    ...instanceRoutes({ ...parts, limits }),
    ...chatRoutes(definitions),
    ...healthRoutes({ ...parts, metrics: () => parts.metrics.read() })
  ]
}
