import { Counter, Gauge, Registry as PromRegistry, collectDefaultMetrics } from 'prom-client'
import { RequestMetrics } from './request-metrics.ts'
import type { Aggregator } from 'prom-client'
import type { HoldResult } from './failover/hold-queue.ts'

/** Numbers that other parts of the gateway keep anyway; read when the metrics are scraped. */
export interface GaugeSources {
  readonly connections: () => number
  readonly acceptedConnections: () => number
  readonly rejectedConnections: () => number
  readonly activeRequests: () => number
  readonly heldRequests: () => number
  readonly heldBytes: () => number
  readonly pendingLookups: () => number
  readonly registryAvailable: () => boolean
  readonly cachedRoutes: () => number
  readonly liveMembers: () => number
  readonly accessLogLines: () => number
  readonly accessLogDropped: () => number
}

/** How a placement of a new session ended. */
export type PlacementResult = 'placed' | 'taken' | 'no-member' | 'failed'

/** All metrics of one gateway process. Labels are closed sets: never a session, a member or a tenant. */
export class GatewayMetrics {
  readonly prom = new PromRegistry()
  readonly requests = new RequestMetrics(this.prom)
  readonly #holds: Counter<'queue' | 'result'>
  readonly #replays: Counter<'reason'>
  readonly #revocations: Counter
  readonly #reassignments: Counter<'result'>
  readonly #probes: Counter<'result'>
  readonly #placements: Counter<'result'>
  readonly #ignoredTimeouts: Counter
  readonly #missingMembers: Counter

  constructor() {
    this.#holds = this.#counter(
      'holds_total',
      'Requests that were held, by queue (lookup: the registry is asked; move: the session moves) and how it ended',
      ['queue', 'result']
    )
    this.#replays = this.#counter(
      'replays_total',
      'Requests sent to a pod again, by the failure that made it necessary',
      ['reason']
    )
    this.#revocations = this.#counter('revocations_total', 'Leases revoked because the pod was proved dead', [])
    this.#reassignments = this.#counter(
      'reassignments_total',
      'Attempts to give an orphaned session a new owner, by result',
      ['result']
    )
    this.#probes = this.#counter('probes_total', 'Dials that ask whether a pod still lives, by result', ['result'])
    this.#placements = this.#counter('placements_total', 'New sessions by result', ['result'])
    this.#ignoredTimeouts = this.#counter(
      'ignored_timeouts_total',
      'Requests whose X-Sandbox-Timeout made no sense and was ignored',
      []
    )
    this.#missingMembers = this.#counter(
      'missing_members_total',
      'Pods that did not answer a gathering request in time',
      []
    )
  }

  /** Adds prom-client's metrics of the process and of Node. They observe for as long as the process lives, so only a process that is a gateway wants them. */
  addProcessMetrics(): void {
    collectDefaultMetrics({ register: this.prom, prefix: PREFIX })
  }

  /** Adds the gauges; called once, when the parts that they look at exist. */
  addGauges(sources: GaugeSources): void {
    this.#gauge('connections', 'Client connections', sources.connections)
    this.#total('connections_accepted_total', 'Client connections so far', sources.acceptedConnections)
    this.#total('connections_rejected_total', 'Client connections that a limit refused', sources.rejectedConnections)
    this.#gauge('active_requests', 'Requests in progress, those held included', sources.activeRequests)
    this.#gauge('held_requests', 'Requests held because their session moves', sources.heldRequests)
    this.#gauge('held_bytes', 'Memory that held requests may take', sources.heldBytes)
    this.#gauge('pending_lookups', 'Requests that wait for a lookup in the registry', sources.pendingLookups)
    this.#gauge('registry_available', '1 while the registry answers', () => Number(sources.registryAvailable()), 'min')
    this.#gauge('cached_routes', 'Sessions in the routing table', sources.cachedRoutes)
    this.#gauge('live_members', 'Pods with a live lease, as this gateway knows', sources.liveMembers, 'max')
    this.#total('access_log_lines_total', 'Lines of the access log', sources.accessLogLines)
    this.#total('access_log_dropped_total', 'Lines of the access log that were dropped', sources.accessLogDropped)
  }

  /** A held request left its queue. */
  held(queue: 'lookup' | 'move', result: HoldResult): void {
    this.#holds.inc({ queue, result })
  }

  /** A request is sent again. */
  replayed(reason: string): void {
    this.#replays.inc({ reason })
  }

  /** A member's lease was revoked. */
  revoked(): void {
    this.#revocations.inc()
  }

  /** An orphan was given an owner, or not. */
  reassigned(result: 'moved' | 'gone' | 'no-member' | 'failed'): void {
    this.#reassignments.inc({ result })
  }

  /** A pod was probed. */
  probed(result: string): void {
    this.#probes.inc({ result })
  }

  /** A session was to be created. */
  placed(result: PlacementResult): void {
    this.#placements.inc({ result })
  }

  /** An X-Sandbox-Timeout was ignored. */
  timeoutIgnored(): void {
    this.#ignoredTimeouts.inc()
  }

  /** Pods were missing from a gathered answer. */
  missing(members: number): void {
    this.#missingMembers.inc(members)
  }

  #counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]): Counter<Label> {
    return new Counter({ name: PREFIX + name, help, labelNames, registers: [this.prom] })
  }

  #gauge(name: string, help: string, read: () => number, aggregator: Aggregator = 'sum'): void {
    const gauge = new Gauge({
      name: PREFIX + name,
      help,
      aggregator,
      registers: [],
      collect() {
        this.set(read())
      }
    })
    this.prom.registerMetric(gauge)
  }

  #total(name: string, help: string, read: () => number): void {
    const counter = new Counter({
      name: PREFIX + name,
      help,
      registers: [],
      collect() {
        this.reset()
        this.inc(read())
      }
    })
    this.prom.registerMetric(counter)
  }
}

const PREFIX = 'fairlead_gateway_'
