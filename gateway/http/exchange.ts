import type { Upstream } from './upstream.ts'

/** One request and its response, from the first byte of the head to its outcome; the context that every step shares. */
export class Exchange {
  /** IP address of the client's end of the connection. */
  readonly clientAddress: string
  /** `performance.now()` when the head was complete. */
  readonly startedAtMs: number
  /** Request method, as sent. */
  method = ''
  /** Origin-form target; empty where the proxy's option `keepTarget` is off, because making the string costs time. */
  target = ''
  /** Status that the client was sent; 0 where none was. An upgrade counts as 101. */
  status = 0
  /** The one word it ended with; empty until then. */
  outcome = ''
  /** Body bytes from the client, framing included. */
  requestBytes = 0
  /** Body bytes to the client, framing included. */
  responseBytes = 0
  /** Attempts at an upstream so far. */
  attempts = 0
  /** The upstream of the latest attempt. */
  upstream: Upstream | null = null
  /** `performance.now()` when the upstream's final response head was complete; 0 where none came. */
  respondedAtMs = 0
  /** Longest wait for a response head in milliseconds; the resolver may lower it for this request. 0 means the proxy's own limit. */
  responseHeadTimeoutMs = 0
  /** Whatever the resolver wants to remember of this request. */
  context: object | null = null
  /** Set by a resolver that holds the request: called once if the client leaves meanwhile. */
  onAbort: (() => void) | null = null

  constructor(clientAddress: string, startedAtMs: number) {
    this.clientAddress = clientAddress
    this.startedAtMs = startedAtMs
  }
}
