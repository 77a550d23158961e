import type { Answer } from './http/resolver.ts'

/** Which of the two wire dialects a client speaks: `sandbox` = addressed by X-Sandbox-ID (`{"detail":...}`), `regina` = by path (`{"error":...}`). */
export type Dialect = 'sandbox' | 'regina'

/** Everything that the gateway itself answers with an error; the word is also the request's outcome in log and metrics. */
export type ErrorCode =
  | 'sandbox-id-missing'
  | 'sandbox-id-invalid'
  | 'namespace-invalid'
  | 'port-invalid'
  | 'pod-ip-invalid'
  | 'instance-id-invalid'
  | 'body-invalid'
  | 'body-too-large'
  | 'query-invalid'
  | 'session-unknown'
  | 'session-taken'
  | 'agent-unknown'
  | 'route-unknown'
  | 'method-not-allowed'
  | 'registry-unavailable'
  | 'no-member'
  | 'hold-full'
  | 'hold-timeout'
  | 'session-moving'
  | 'backend-saturated'
  | 'backend-unreachable'
  | 'backend-lost'
  | 'backend-invalid'
  | 'backend-timeout'
  | 'internal'

/** The only place in the gateway where an error gets its status. */
const STATUS: Record<ErrorCode, number> = {
  'sandbox-id-missing': 400,
  'sandbox-id-invalid': 400,
  'namespace-invalid': 400,
  'port-invalid': 400,
  'pod-ip-invalid': 400,
  'instance-id-invalid': 400,
  'body-invalid': 400,
  'body-too-large': 413,
  'query-invalid': 400,
  'session-unknown': 404,
  'session-taken': 409,
  'agent-unknown': 404,
  'route-unknown': 404,
  'method-not-allowed': 405,
  'registry-unavailable': 503,
  'no-member': 503,
  'hold-full': 503,
  'hold-timeout': 503,
  'session-moving': 503,
  'backend-saturated': 503,
  'backend-unreachable': 502,
  'backend-lost': 502,
  'backend-invalid': 502,
  'backend-timeout': 504,
  internal: 500
}

/** The texts of agent-sandbox's router stand first, because its clients match on them; `<id>` becomes the session's id. */
const TEXT: Record<ErrorCode, string> = {
  'sandbox-id-missing': 'X-Sandbox-ID header is required.',
  'sandbox-id-invalid': 'Invalid sandbox ID format.',
  'namespace-invalid': 'Invalid namespace format.',
  'port-invalid': 'Invalid port format.',
  'pod-ip-invalid': 'Invalid target IP address.',
  'backend-unreachable': 'Could not connect to the backend sandbox: <id>',
  'backend-timeout': 'Timed out waiting for the backend sandbox: <id>',
  'session-unknown': 'Sandbox not found: <id>',
  'instance-id-invalid': 'Invalid instance ID: expected a DNS label of at most 63 characters',
  'body-invalid': 'Invalid request body: expected a JSON object',
  'body-too-large': 'Request body too large',
  'query-invalid': 'Invalid query: limit must be from 1 to 1000, cursor as the page before gave it',
  'session-taken': 'Instance already exists: <id>',
  'agent-unknown': 'Agent definition not found',
  'route-unknown': 'Not found',
  'method-not-allowed': 'Method not allowed',
  'registry-unavailable': 'The session registry is not available, try again',
  'no-member': 'No pod is available, try again',
  'hold-full': 'Too many requests are waiting for sessions that move to another pod, try again',
  'hold-timeout': 'The session did not become available in time, try again: <id>',
  'session-moving': 'The session is moving to another pod, try again: <id>',
  'backend-saturated': 'The pod of this session has no free connection, try again: <id>',
  'backend-lost': 'The pod of this session broke off; the request may or may not have had an effect: <id>',
  'backend-invalid': 'The pod of this session gave an invalid response: <id>',
  internal: 'Internal error'
}

/** Where the Regina dialect has a text of its own. */
const REGINA_TEXT: Partial<Record<ErrorCode, string>> = {
  'session-unknown': 'Instance not found',
  'backend-unreachable': 'Could not connect to the pod of this instance: <id>',
  'backend-timeout': 'Timed out waiting for the pod of this instance: <id>'
}

/** Seconds after which a client may try again; goes with every 503. */
const RETRY_AFTER_SECONDS = 1

/** Tells the status of an error. */
export function statusOf(code: ErrorCode): number {
  return STATUS[code]
}

/** Says whether a client may expect better luck a second later; such answers carry Retry-After. */
export function isTemporary(code: ErrorCode): boolean {
  return STATUS[code] === 503
}

/** The JSON body of an error in a dialect; `id` must have been checked, or be empty. */
export function errorBody(code: ErrorCode, dialect: Dialect, id = ''): string {
  const text = (dialect === 'regina' ? REGINA_TEXT[code] : undefined) ?? TEXT[code]
  const message = text.replace('<id>', id)
  return JSON.stringify(dialect === 'sandbox' ? { detail: message } : { error: message })
}

/** The header fields that go with an error's body. */
export function errorFields(code: ErrorCode): Record<string, string> {
  const fields: Record<string, string> = { 'Content-Type': 'application/json' }
  if (isTemporary(code)) fields['Retry-After'] = String(RETRY_AFTER_SECONDS)
  return fields
}

/** The whole answer to a request that the proxy ends itself. */
export function errorAnswer(code: ErrorCode, dialect: Dialect, id = ''): Answer {
  const fields = Object.entries(errorFields(code)).map(([name, value]) => `${name}: ${value}\r\n`)
  return {
    kind: 'answer',
    status: STATUS[code],
    fields: fields.join(''),
    body: errorBody(code, dialect, id),
    outcome: code
  }
}

/** Every error code; the metrics have a counter for each. */
export const ERROR_CODES = Object.keys(STATUS) as readonly ErrorCode[]
