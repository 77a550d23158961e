import { errorText } from './errors.ts'
import { LOG_LEVELS } from './log.ts'
import { parseRedisUrl } from './redis-url.ts'
import { formatDuration } from './units.ts'
import type { Option } from './config-table.ts'

/** Options of every process that talks to the registry; they stand at the top level of the YAML file, because gateways and pods must agree on them. */
export const registryOptions = [
  {
    key: 'redisUrl',
    type: 'url',
    default: 'redis://127.0.0.1:6379',
    env: ['REDIS_URL'],
    shared: true,
    summary: 'Redis or Valkey that holds the registry'
  },
  {
    key: 'redisPrefix',
    type: 'string',
    default: '{fairlead}',
    shared: true,
    summary: 'what every registry key begins with; braces keep the keys in one slot of a Redis Cluster'
  },
  {
    key: 'lease',
    type: 'duration',
    default: '30s',
    min: '1s',
    max: '1h',
    shared: true,
    summary: 'how long a pod owns its sessions after its last heartbeat'
  },
  {
    key: 'heartbeat',
    type: 'duration',
    default: '10s',
    min: '100ms',
    max: '20m',
    shared: true,
    summary: 'how often a pod renews its lease; well below the lease'
  },
  {
    key: 'logLevel',
    type: 'enum',
    choices: LOG_LEVELS,
    default: 'info',
    shared: true,
    summary: 'least level that is logged'
  }
] as const satisfies readonly Option[]

/** What is wrong with registry options beyond what their table says; empty = nothing. */
export function registryProblems(config: {
  redisUrl: string
  leaseMs: number
  heartbeatMs: number
}): readonly string[] {
  return [...redisUrlProblems(config.redisUrl), ...leaseProblems(config)]
}

function redisUrlProblems(redisUrl: string): readonly string[] {
  try {
    parseRedisUrl(redisUrl)
    return []
  } catch (error) {
    return [`redisUrl: ${errorText(error)}`]
  }
}

// One missed heartbeat must not cost a pod its sessions.
function leaseProblems({ leaseMs, heartbeatMs }: { leaseMs: number; heartbeatMs: number }): readonly string[] {
  if (heartbeatMs * 2 <= leaseMs) return []
  return [
    `heartbeat: expected at most half of the lease (${formatDuration(leaseMs)}), got ${formatDuration(heartbeatMs)}`
  ]
}
