/** What is known of a request when an attempt at an upstream failed. */
export interface AttemptFacts {
  /** A byte of the request may have reached the upstream. */
  readonly sent: boolean
  /** The upstream said that it did not act upon the request. */
  readonly refused: boolean
  /** A byte of a response has come. */
  readonly responded: boolean
  readonly method: string
  readonly hasBody: boolean
  /** Everything that was taken from the client so far is still at hand. */
  readonly saved: boolean
}

/** Methods that may be sent twice without the server's consent (RFC 9110 section 9.2.1: safe). */
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Decides whether a request may be sent again. Not yet sent, or refused: always. Sent, with a safe method and no body, and
 * not a byte of a response: yes. Anything else: no. Never without its bytes.
 */
export function mayReplay(facts: AttemptFacts): boolean {
  if (!facts.saved) return false
  if (!facts.sent || facts.refused) return true
  return !facts.hasBody && !facts.responded && SAFE_METHODS.has(facts.method)
}
