import type { Exchange } from './exchange.ts'
import type { RequestHead } from './request-head.ts'
import type { Upstream } from './upstream.ts'

/** Where a request goes. One object may serve many requests: a session's entry in a routing table keeps its own. */
export interface Route {
  readonly kind: 'route'
  readonly upstream: Upstream
  /** Header lines added to the forwarded head, each ending in CRLF, latin1 (`X-A: b\r\n`); may be empty. */
  readonly addedFields: string
}

/** An answer that the proxy gives itself, without an upstream. */
export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  /** Header lines, each ending in CRLF, without Content-Length and Connection. */
  readonly fields: string
  readonly body: string
  /** The word the request ends with in log and metrics. */
  readonly outcome: string
}

/** Why an attempt at an upstream failed before a byte of its response reached the client. */
export interface UpstreamFailure {
  readonly kind:
    | 'connect-refused'
    | 'connect-timeout'
    | 'connect-unreachable'
    | 'reset'
    | 'closed'
    | 'response-timeout'
    | 'bad-response'
    | 'refused'
    | 'saturated'
  readonly upstream: Upstream
  /** True where sending the request again can do no harm and its bytes are still at hand. */
  readonly replayable: boolean
  /** True where no byte of the request can have reached the upstream. */
  readonly unsent: boolean
  /** With `refused`: the value of the refusal header. */
  readonly refusal: string
  /** System error code or a short text, for the log. */
  readonly detail: string
}

/**
 * Decides where requests go; the proxy's only question to the rest of the gateway.
 *
 * A promise may stay open as long as the exchange lives (the proxy holds the request meanwhile, reads no more of its body
 * than one buffer, and calls `exchange.onAbort` if the client leaves). A rejected promise ends the request with 500.
 */
export interface Resolver {
  /** Called once for each request. `head` is valid only until the call returns, not after an `await`. */
  resolve(head: RequestHead, exchange: Exchange): Route | Answer | Promise<Route | Answer>
  /**
   * Called after a failed attempt, before any byte of a response reached the client. Returning a route sends the request again, which the
   * proxy does only where `failure.replayable`; otherwise only an answer is taken.
   */
  retry(exchange: Exchange, failure: UpstreamFailure): Route | Answer | Promise<Route | Answer>
  /** Called exactly once for each request, when its last byte is handed to the kernel or it failed. */
  finish(exchange: Exchange): void
}
