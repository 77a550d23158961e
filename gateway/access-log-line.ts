import { withoutQuery } from './request/route-key.ts'
import type { Exchange } from './http/exchange.ts'
import type { RequestContext } from './request/request-context.ts'

/** Everything outside of printable ASCII, and what JSON needs escaped. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const NEEDS_ESCAPE = /["\\\u0000-\u001f\u007f-\uffff]/

/** A JSON string literal of what a client sent; built by hand where nothing needs escaping, which is nearly always. */
function quoted(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`
}

/** `.001` to `.999`, and nothing for a whole number: writing out a fraction costs more than all the rest of a line. */
const THOUSANDTHS = Array.from({ length: 1000 }, (_, index) => (index === 0 ? '' : String(index / 1000).slice(1)))

/** Milliseconds with at most three decimals. */
function millis(value: number): string {
  const thousandths = Math.round(value * 1000)
  const whole = Math.floor(thousandths / 1000)
  return whole + THOUSANDTHS[thousandths - whole * 1000]!
}

/** What a line needs besides the exchange: `endedAtMs` by `performance.now()`, `timeMs` by `Date.now()`. */
export interface LineFacts {
  readonly context: RequestContext | null
  readonly endedAtMs: number
  readonly timeMs: number
}

/**
 * The access log's line for a finished request, with its line feed. Times are in milliseconds: `time` since 1970, `durationMs` from the head to the end,
 * `headMs` until the pod's response head, `heldMs` while the request was held. The query is left out, because clients put tokens there.
 */
export function accessLogLine(exchange: Exchange, facts: LineFacts): string {
  const { context, endedAtMs, timeMs } = facts
  const { startedAtMs, respondedAtMs } = exchange
  return (
    `{"time":${timeMs},"outcome":"${exchange.outcome}","status":${exchange.status},` +
    `"method":${quoted(exchange.method)},"path":${quoted(withoutQuery(exchange.target))},` +
    (context === null ? '"session":null,"member":null,"epoch":0,"route":"none","heldMs":0,' : contextFields(context)) +
    `"durationMs":${millis(endedAtMs - startedAtMs)},"headMs":${respondedAtMs === 0 ? 'null' : millis(respondedAtMs - startedAtMs)},` +
    `"attempts":${exchange.attempts},"requestBytes":${exchange.requestBytes},"responseBytes":${exchange.responseBytes},` +
    `"client":"${exchange.clientAddress}"}\n`
  )
}

function contextFields({ entry, sessionId, route, heldMs }: RequestContext): string {
  const owner =
    entry === null ? '"member":null,"epoch":0' : `"member":"${entry.member.id}","epoch":${entry.record.epoch}`
  const session = sessionId === '' ? 'null' : `"${sessionId}"`
  return `"session":${session},${owner},"route":"${route}","heldMs":${millis(heldMs)},`
}
