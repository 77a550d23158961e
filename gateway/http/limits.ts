/** Bounds of the proxy: durations in milliseconds, sizes in bytes; 0 means no bound unless said otherwise. */
export interface Limits {
  /** From the first byte of a request head to its end. */
  readonly requestHeadTimeoutMs: number
  /** A client connection without a request. */
  readonly keepAliveTimeoutMs: number
  /** From dialling an upstream to its acceptance. */
  readonly connectTimeoutMs: number
  /** From the end of the request to the response head. */
  readonly responseHeadTimeoutMs: number
  /** Between two reads of a body, in either direction. */
  readonly bodyIdleTimeoutMs: number
  /** From the end of the request head to the end of the response. */
  readonly requestTimeoutMs: number
  /** An upgraded connection on which nothing moves. */
  readonly upgradeIdleTimeoutMs: number
  /** An upstream connection in the pool. Must be shorter than the upstream's own keep-alive. */
  readonly upstreamIdleTimeoutMs: number
  /** After an answer that ends a connection: how long the client's remaining bytes are read and dropped. */
  readonly lingerTimeoutMs: number
  /** Request or response head. At least 1. */
  readonly maxHeaderBytes: number
  /** At least 1. */
  readonly maxHeaderCount: number
  /** At least 1. */
  readonly maxTargetBytes: number
  readonly maxRequestBodyBytes: number
  readonly maxConnections: number
  readonly maxConnectionsPerClient: number
  readonly maxConnectionsPerUpstream: number
  /** Connections that the pool keeps; 0 keeps none. */
  readonly maxIdlePerUpstream: number
  /** A request with a body can be sent again only if it fits in here whole; 0 keeps no bodies. */
  readonly maxReplayBytes: number
}

export const DEFAULT_LIMITS: Limits = {
  requestHeadTimeoutMs: 60_000,
  keepAliveTimeoutMs: 75_000,
  connectTimeoutMs: 5_000,
  responseHeadTimeoutMs: 180_000,
  bodyIdleTimeoutMs: 300_000,
  requestTimeoutMs: 3_600_000,
  upgradeIdleTimeoutMs: 3_600_000,
  upstreamIdleTimeoutMs: 60_000,
  lingerTimeoutMs: 5_000,
  maxHeaderBytes: 32_768,
  maxHeaderCount: 128,
  maxTargetBytes: 8_192,
  maxRequestBodyBytes: 0,
  maxConnections: 16_384,
  maxConnectionsPerClient: 0,
  maxConnectionsPerUpstream: 1_024,
  maxIdlePerUpstream: 64,
  maxReplayBytes: 65_536
}
