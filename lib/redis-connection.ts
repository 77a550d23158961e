import { EventEmitter } from 'node:events'
import { Cluster, Redis } from 'ioredis'
import { errorText } from './errors.ts'
import { parseRedisUrl } from './redis-url.ts'
import type { ClusterOptions, RedisOptions } from 'ioredis'
import type { Logger } from './log.ts'
import type { RedisTarget } from './redis-url.ts'

/** Longest wait for an answer, in milliseconds, where nothing else is said. */
export const DEFAULT_COMMAND_TIMEOUT_MS = 1_000

/** How to reach Redis. */
export interface RedisConnectionOptions {
  /** See `parseRedisUrl`. */
  readonly url: string
  /** Shown by CLIENT LIST. */
  readonly name?: string
  readonly commandTimeoutMs?: number
  readonly log?: Logger | undefined
}

/** Waits 50, 100, 200 ... at most 1,000 ms between attempts, give or take a quarter, so that many processes do not come back at once. */
export function reconnectDelayMs(attempt: number): number {
  const delayMs = Math.min(1_000, 50 * 2 ** Math.min(attempt - 1, 10))
  return Math.round(delayMs * (0.75 + Math.random() / 2))
}

/** A failover made the server a replica; `true` reconnects, which finds the new master. */
function reconnectOnError(error: Error): boolean {
  return error.message.startsWith('READONLY')
}

/**
 * One connection to Redis that never gives up and never queues: a command fails at once while the connection is down,
 * and within the command timeout while the server does not answer. Emits `up` when commands can be sent and `down` when they cannot.
 */
export class RedisConnection extends EventEmitter<{ up: []; down: [] }> {
  readonly client: Redis | Cluster
  readonly commandTimeoutMs: number
  readonly isCluster: boolean
  readonly #log: Logger | undefined
  #up = false
  #closed = false
  #noted = false

  constructor(options: RedisConnectionOptions) {
    super()
    const target = parseRedisUrl(options.url)
    this.#log = options.log
    this.commandTimeoutMs = options.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS
    this.isCluster = target.mode === 'cluster'
    this.client = makeClient(target, { name: options.name ?? 'fairlead', timeoutMs: this.commandTimeoutMs })
    this.client.on('ready', () => this.#turn(true))
    for (const event of ['close', 'end', 'reconnecting']) this.client.on(event, () => this.#turn(false))
    this.client.on('error', error => this.#note(error))
  }

  /** True while commands can be sent. */
  get up(): boolean {
    return this.#up
  }

  /** Begins to connect; attempts go on until `close`. */
  start(): void {
    if (this.#closed) return
    this.client.connect().catch((error: unknown) => this.#note(error))
  }

  /** Drops the socket and connects again: for a server that accepts commands and does not answer. Pending commands fail. */
  reset(): void {
    if (this.#closed || !this.#up) return
    this.#turn(false)
    this.client.disconnect(true)
  }

  /** Ends the connection at once. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#turn(false)
    this.client.disconnect()
  }

  #turn(up: boolean): void {
    if (this.#up === up || (up && this.#closed)) return
    this.#up = up
    if (up) this.#noted = false
    this.emit(up ? 'up' : 'down')
  }

  /** An outage is one line in the log, not one for each attempt. */
  #note(error: unknown): void {
    if (this.#closed || this.#noted) return
    this.#noted = true
    this.#log?.warn({ problem: errorText(error) }, 'Redis connection failed; trying again')
  }
}

/** What ioredis takes for a single server and for the nodes of a cluster alike. */
type SharedOptions = Omit<NonNullable<ClusterOptions['redisOptions']>, 'replyMapping'>

function makeClient(target: RedisTarget, options: { name: string; timeoutMs: number }): Redis | Cluster {
  const shared: SharedOptions = {
    username: target.username,
    password: target.password,
    connectionName: options.name,
    commandTimeout: options.timeoutMs,
    // Notices a server that is frozen and not only slow: no byte for this long while an answer is due.
    socketTimeout: options.timeoutMs * 2,
    connectTimeout: options.timeoutMs * 2,
    // A frozen server does not answer a FIN either.
    disconnectTimeout: 100,
    // A script must not run twice, and nobody waits longer than the timeout.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Who subscribes does it itself when the connection is up again, and then knows that it missed something.
    autoResubscribe: false,
    protocol: 2,
    reconnectOnError,
    ...(target.tls ? { tls: {} } : {})
  }
  if (target.mode === 'cluster') return new Cluster([...target.nodes], clusterOptions(shared))
  return new Redis({ ...shared, ...standaloneOptions(target), lazyConnect: true })
}

function standaloneOptions(target: RedisTarget): Omit<RedisOptions, 'replyMapping'> {
  const common = { db: target.db, retryStrategy: reconnectDelayMs, enableOfflineQueue: false }
  if (target.mode !== 'sentinel') return { ...common, ...target.nodes[0] }
  return {
    ...common,
    name: target.master,
    sentinels: [...target.nodes],
    sentinelUsername: target.sentinelUsername,
    sentinelPassword: target.sentinelPassword,
    sentinelRetryStrategy: reconnectDelayMs,
    sentinelCommandTimeout: 1_000,
    enableTLSForSentinelMode: target.tls,
    // Learns of a failover from the sentinels and leaves the old master at once.
    failoverDetector: true
  }
}

function clusterOptions(
  redisOptions: SharedOptions
): Omit<ClusterOptions, 'redisOptions'> & { redisOptions: SharedOptions } {
  return {
    redisOptions,
    clusterRetryStrategy: reconnectDelayMs,
    enableOfflineQueue: false,
    // Redirections and retries within one command end with the caller's deadline.
    maxRedirections: 4,
    slotsRefreshTimeout: 1_000,
    lazyConnect: true
  }
}
