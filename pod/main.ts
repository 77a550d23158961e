import { ConfigError } from '../lib/config-table.ts'
import { createLog } from '../lib/log.ts'
import { loadDefinitions } from './agents/load-definitions.ts'
import { PodParts } from './assemble.ts'
import { podProblems } from './config.ts'
import type { PodConfig } from './config.ts'
import { PodServer } from './http/server.ts'
import { plainRunner } from './session/commands/plain-runner.ts'
import { DataDirectory } from './session/data-directory.ts'

/** A pod that runs. */
export interface RunningPod {
  /** Where it listens. */
  readonly url: string
  readonly memberId: string
  readonly bootId: string
  /** Drains: takes nothing new, gives every session away, leaves, and ends. Bounded by `drainTimeout` and a few seconds; idempotent; never rejects. */
  close(): Promise<void>
}

/**
 * Starts a pod: listens, registers, and resolves when it can be asked; with the registry away it refuses until that is back.
 * Rejects, with nothing left running, when it cannot listen or when its directories or options are unusable.
 */
export async function startPod(config: PodConfig): Promise<RunningPod> {
  const problems = podProblems(config)
  if (problems.length > 0) throw new ConfigError(problems)
  const log = createLog('pod', { level: config.logLevel })
  const data = await DataDirectory.open(config.dataDirectory, log)
  const server = new PodServer()
  try {
    const definitions = await loadDefinitions(config.agentsDirectory, log)
    const strays = await plainRunner.sweep(data.sessionsPrefix, { prefix: true })
    if (strays > 0) log.warn({ strays }, 'ended processes that an earlier run of this pod had left')
    const port = await server.listen(config.host, config.port)
    const pod = new PodParts(config, { server, port, data, definitions, log })
    await pod.start()
    return { url: pod.url, memberId: pod.memberId, bootId: pod.bootId, close: () => pod.close() }
  } catch (error) {
    await server.close(0)
    await data.close()
    throw error
  }
}
