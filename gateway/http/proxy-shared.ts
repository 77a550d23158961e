import type { AnswerFormat } from './answers.ts'
import type { DownstreamConnection } from './downstream-connection.ts'
import type { FieldTable } from './field-table.ts'
import type { Limits } from './limits.ts'
import type { OutputBuffer } from './output-buffer.ts'
import type { RequestHead } from './request-head.ts'
import type { Resolver } from './resolver.ts'
import type { SavedRequestPool } from './saved-request.ts'
import type { TimerWheel } from './timer-wheel.ts'

/** Time limits in ticks of the wheel. */
export interface LimitTicks {
  readonly requestHead: number
  readonly keepAlive: number
  readonly connect: number
  readonly responseHead: number
  readonly bodyIdle: number
  readonly request: number
  readonly upgradeIdle: number
  readonly linger: number
}

/** What a proxy counts. */
export interface ProxyStats {
  /** Client connections that are open. */
  connections: number
  /** Client connections so far. */
  accepted: number
  /** Client connections that a limit refused. */
  rejected: number
  /** Requests under way, those held included. */
  activeRequests: number
}

/** What the client connections of one proxy share. */
export interface ProxyShared {
  readonly resolver: Resolver
  readonly limits: Limits
  readonly ticks: LimitTicks
  readonly wheel: TimerWheel
  readonly output: OutputBuffer
  readonly requestHead: RequestHead
  readonly requestFields: FieldTable
  readonly savedRequests: SavedRequestPool
  readonly upgradeProtocols: readonly string[]
  /** Request fields that do not pass with an upgrade, lower case. */
  readonly strippedOnUpgrade: ReadonlySet<string>
  readonly keepTarget: boolean
  /** A client that sent FIN after its request still gets the response; otherwise FIN cancels the request. */
  readonly servesHalfClosed: boolean
  readonly format: AnswerFormat
  readonly stats: ProxyStats
  readonly isDraining: () => boolean
  readonly onClosed: (connection: DownstreamConnection) => void
  /** A defect in the resolver; the request was answered with 500. */
  readonly onError: (error: unknown) => void
}
