import { registryOptions } from '../lib/registry-options.ts'
import type { ConfigOf, Option } from '../lib/config-table.ts'

/** Options of `fairlead pod`; section `pod:` of the YAML file. */
export const podOptions = [
  ...registryOptions,
  { key: 'host', type: 'string', default: '127.0.0.1', summary: 'address to listen on' },
  { key: 'port', type: 'port', default: 8888, summary: 'port to listen on; 0 takes a free one' },
  {
    key: 'advertiseAddress',
    type: 'string',
    default: '',
    env: ['POD_IP'],
    summary:
      'address, with or without a port, at which gateways reach this pod; empty = the one it listens on, or the first of the machine where that is a wildcard'
  },
  {
    key: 'memberId',
    type: 'string',
    default: '',
    env: ['POD_NAME'],
    summary:
      'name of this pod in the registry, a DNS label that stays the same over restarts; empty = host name and port'
  },
  {
    key: 'dataDirectory',
    type: 'string',
    default: '.fairlead/pod',
    summary: "where the sessions' directories lie; used by one pod at a time"
  },
  {
    key: 'store',
    type: 'string',
    default: 'fs:/var/lib/fairlead/backups',
    summary: 'backup store, the same for all pods; fs:/absolute/path is a directory that all of them share'
  },
  {
    key: 'agentsDirectory',
    type: 'string',
    default: '',
    summary: 'directory of agent definitions (*.md); empty = only the built-in one'
  },
  {
    key: 'capacity',
    type: 'integer',
    default: 0,
    max: 1_000_000,
    summary: 'most sessions this pod takes; 0 = no bound'
  },
  {
    key: 'idleTimeout',
    type: 'duration',
    default: '300s',
    max: '7d',
    summary: 'how long a session may be unused before it is suspended; 0 = never'
  },
  {
    key: 'execTimeout',
    type: 'duration',
    default: '300s',
    min: '1ms',
    max: '7d',
    summary: 'longest run of one command'
  },
  {
    key: 'execTimeoutSeconds',
    type: 'integer',
    default: null,
    min: 1,
    max: 604_800,
    env: ['SANDBOX_EXEC_TIMEOUT_SECONDS'],
    summary: 'the same in whole seconds, as agent-sandbox names it; wins over exec-timeout where it is given'
  },
  {
    key: 'maxOutput',
    type: 'bytes',
    default: '8Mi',
    min: '1Ki',
    max: '256Mi',
    summary: 'most bytes that /execute returns of each output of a command; the rest is dropped, and stderr says so'
  },
  {
    key: 'maxStreamOutput',
    type: 'bytes',
    default: '1Gi',
    min: '1Ki',
    summary: 'most bytes that a command run by /execute/stream may write before it is killed'
  },
  { key: 'maxUpload', type: 'bytes', default: '512Mi', min: '1Ki', summary: 'largest file that /upload takes' },
  { key: 'maxRequest', type: 'bytes', default: '1Mi', min: '1Ki', max: '64Mi', summary: 'largest JSON body' },
  {
    key: 'bodyTimeout',
    type: 'duration',
    default: '60s',
    min: '100ms',
    max: '1h',
    summary: 'how long a request body may pause; a JSON body must be whole by then'
  },
  {
    key: 'commandPath',
    type: 'string',
    default: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    summary: 'PATH of commands'
  },
  {
    key: 'durability',
    type: 'enum',
    choices: ['interval', 'sync'],
    default: 'interval',
    summary:
      'sync = a command or an upload is answered when its result is in the backup store; interval = backupDelay after the answer'
  },
  {
    key: 'backupDelay',
    type: 'duration',
    default: '200ms',
    max: '1s',
    summary: 'how long a change may wait for its backup to begin; changes within it share one backup'
  },
  {
    key: 'parallelBackups',
    type: 'integer',
    default: 4,
    min: 1,
    max: 256,
    summary: 'how many sessions are backed up at once when the pod drains'
  },
  {
    key: 'restoreTimeout',
    type: 'duration',
    default: '60s',
    min: '100ms',
    max: '1h',
    summary: 'how long a request waits for its session to be restored; the restore goes on after that'
  },
  {
    key: 'drainTimeout',
    type: 'duration',
    default: '25s',
    max: '1h',
    summary: 'how long running requests may go on once the pod is told to stop'
  },
  {
    key: 'leaseMargin',
    type: 'duration',
    default: '2s',
    max: '10m',
    summary:
      'how long before the end of its lease a pod stops serving, and in half of that saves what it answered last; below the lease'
  }
] as const satisfies readonly Option[]

/** The pod's config as `resolveConfig` yields it from `podOptions`. */
export type PodConfig = ConfigOf<typeof podOptions>

/** What is wrong with options that are each valid on their own; empty = nothing. */
export function podProblems(config: Pick<PodConfig, 'leaseMs' | 'heartbeatMs' | 'leaseMarginMs'>): readonly string[] {
  const { leaseMs, heartbeatMs, leaseMarginMs } = config
  if (leaseMarginMs + heartbeatMs < leaseMs) return []
  return ['leaseMargin: expected that lease margin and heartbeat together are shorter than the lease']
}

/** Longest run of one command, in milliseconds, whichever of its two options was given. */
export function commandTimeoutMs(config: Pick<PodConfig, 'execTimeoutMs' | 'execTimeoutSeconds'>): number {
  return config.execTimeoutSeconds === null ? config.execTimeoutMs : config.execTimeoutSeconds * 1000
}
