import { registryOptions } from '../lib/registry-options.ts'
import type { ConfigOf, Option } from '../lib/config-table.ts'

/** Options of `fairlead gateway`: section `gateway` of the YAML file, and those that it shares with the pods. */
export const gatewayOptions = [
  { key: 'host', type: 'string', default: '0.0.0.0', summary: 'address that clients connect to' },
  { key: 'port', type: 'port', default: 8080, summary: 'port that clients connect to; 0 takes a free one' },
  {
    key: 'adminHost',
    type: 'string',
    default: '127.0.0.1',
    summary: 'address of health, metrics and inspection; no client traffic'
  },
  {
    key: 'adminPort',
    type: 'port',
    default: 9090,
    summary: 'port of health, metrics and inspection; 0 takes a free one'
  },
  { key: 'workers', type: 'integer', default: 1, min: 1, max: 256, summary: 'processes that share the port' },
  {
    key: 'allocation',
    type: 'enum',
    choices: ['round-robin', 'least-loaded', 'random'],
    default: 'least-loaded',
    summary: 'how a pod is picked for a new or orphaned session'
  },
  {
    key: 'transport',
    type: 'enum',
    choices: ['stream', 'handle'],
    default: 'stream',
    summary: "stream: Node's public API; handle: its internal handles, less processor time, but Node may change them"
  },
  {
    key: 'allowLoopbackMembers',
    type: 'boolean',
    default: false,
    summary: 'accept pods, and X-Sandbox-Pod-IP, on loopback addresses'
  },
  {
    key: 'trustedProxies',
    type: 'list',
    default: [],
    summary: 'addresses or CIDR ranges whose X-Forwarded-* fields are kept'
  },

  {
    key: 'proxyTimeout',
    type: 'duration',
    default: '180s',
    min: '1ms',
    max: '24h',
    env: ['PROXY_TIMEOUT_SECONDS'],
    summary: 'longest wait for a response head, and cap of X-Sandbox-Timeout'
  },
  {
    key: 'requestHeadTimeout',
    type: 'duration',
    default: '60s',
    summary: 'from the first byte of a request head to its end'
  },
  {
    key: 'keepAliveTimeout',
    type: 'duration',
    default: '75s',
    summary: 'how long a client connection may idle between requests'
  },
  {
    key: 'connectTimeout',
    type: 'duration',
    default: '5s',
    min: '1ms',
    summary: 'from dialling a pod to its acceptance'
  },
  {
    key: 'bodyIdleTimeout',
    type: 'duration',
    default: '300s',
    summary: 'longest pause inside a request or response body; 0 is no bound'
  },
  {
    key: 'requestTimeout',
    type: 'duration',
    default: '1h',
    summary: 'from the request head to the end of the response; 0 is no bound'
  },
  {
    key: 'upgradeIdleTimeout',
    type: 'duration',
    default: '1h',
    summary: 'longest silence on a WebSocket; 0 is no bound'
  },
  {
    key: 'upstreamIdleTimeout',
    type: 'duration',
    default: '60s',
    summary: 'how long a connection to a pod may idle; shorter than the keep-alive of the pods'
  },
  {
    key: 'lingerTimeout',
    type: 'duration',
    default: '5s',
    summary: 'how long the rest of a refused request is read and dropped'
  },
  {
    key: 'maxHeader',
    type: 'bytes',
    default: '32Ki',
    min: '1Ki',
    max: '64Ki',
    summary: 'size of a request or response head'
  },
  { key: 'maxHeaderCount', type: 'integer', default: 128, min: 8, max: 4096, summary: 'header fields of one message' },
  { key: 'maxTarget', type: 'bytes', default: '8Ki', min: '64', summary: 'length of a path with its query' },
  { key: 'maxRequestBody', type: 'bytes', default: '0', summary: 'size of a request body; 0 is no bound' },
  { key: 'maxConnections', type: 'integer', default: 16_384, summary: 'client connections in all; 0 is no bound' },
  {
    key: 'maxConnectionsPerClient',
    type: 'integer',
    default: 0,
    summary: 'connections of one client address; 0 is no bound'
  },
  {
    key: 'maxConnectionsPerUpstream',
    type: 'integer',
    default: 1024,
    summary: 'connections to one pod; 0 is no bound'
  },
  { key: 'maxIdlePerUpstream', type: 'integer', default: 64, summary: 'idle connections kept to one pod' },
  {
    key: 'maxReplay',
    type: 'bytes',
    default: '64Ki',
    max: '64Ki',
    summary: 'a request with a larger body is never sent to a second pod'
  },

  {
    key: 'holdTimeout',
    type: 'duration',
    default: '40s',
    min: '1ms',
    summary: 'longest time that a request waits for its session to move; longer than the lease'
  },
  { key: 'maxHeldRequests', type: 'integer', default: 1000, summary: 'requests that wait for sessions that move' },
  { key: 'maxHeldPerSession', type: 'integer', default: 100, summary: 'the same, for one session' },
  { key: 'maxHeld', type: 'bytes', default: '64Mi', summary: 'memory that they may take together' },
  {
    key: 'lookupTimeout',
    type: 'duration',
    default: '5s',
    min: '1ms',
    summary: 'longest wait for the registry to say who owns a session'
  },
  { key: 'maxLookups', type: 'integer', default: 10_000, summary: 'requests that wait for the registry' },
  {
    key: 'probeTimeout',
    type: 'duration',
    default: '1s',
    min: '1ms',
    summary: 'longest wait for a sign of life from a pod that refused a connection'
  },
  {
    key: 'gatherTimeout',
    type: 'duration',
    default: '2s',
    min: '1ms',
    summary: 'longest wait for one pod when all are asked'
  },
  {
    key: 'createTimeout',
    type: 'duration',
    default: '30s',
    min: '1ms',
    summary: 'longest wait for a pod to create a session'
  },

  { key: 'accessLog', type: 'boolean', default: true, summary: 'write one JSON line per request' },
  {
    key: 'accessLogPath',
    type: 'string',
    default: 'stdout',
    summary: 'file that the access log is appended to, or stdout'
  },
  {
    key: 'drainDelay',
    type: 'duration',
    default: '0',
    summary: 'from "not ready" to closing the port, so that load balancers take notice'
  },
  {
    key: 'shutdownTimeout',
    type: 'duration',
    default: '30s',
    summary: 'how long requests in progress may take to finish at shutdown'
  },
  ...registryOptions
] as const satisfies readonly Option[]

/** What `fairlead gateway` runs with; durations are `...Ms`, sizes `...Bytes`. */
export type GatewayConfig = ConfigOf<typeof gatewayOptions>

/** The environment as the table reads it: PROXY_TIMEOUT_SECONDS, which deployments of agent-sandbox set, is a bare number of seconds. */
export function gatewayEnvironment(
  env: Readonly<Record<string, string | undefined>>
): Record<string, string | undefined> {
  const seconds = env['PROXY_TIMEOUT_SECONDS']
  if (seconds === undefined || !/^\d+(\.\d+)?$/.test(seconds)) return { ...env }
  return { ...env, PROXY_TIMEOUT_SECONDS: `${seconds}s` }
}
