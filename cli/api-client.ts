import { FairleadError, errorText } from '../lib/errors.ts'

/** Code `unreachable`: no answer from a gateway; code `refused`: it answered with an error. */
export class ApiError extends FairleadError {}

/** What a gateway answered: the status and the parsed body (`null` when it is empty). */
export interface ApiAnswer {
  status: number
  body: unknown
}

const TIMEOUT_MS = 30_000

/** Calls a gateway's HTTP interface; answers outside 2xx are an ApiError with the gateway's own words. `flag` names the option that holds `base`, for the message. */
export async function callApi(
  path: string,
  options: { base: string; flag: string; method?: string; body?: unknown }
): Promise<ApiAnswer> {
  const { base, flag, method = 'GET', body } = options
  const response = await send(new URL(path, base), { method, body }).catch((error: unknown) => {
    const reason = error instanceof Error && error.cause !== undefined ? errorText(error.cause) : errorText(error)
    throw new ApiError(
      'unreachable',
      `no gateway answers at ${base} (${reason}); is it running, and is ${flag} right?`,
      { cause: error }
    )
  })
  const answer = { status: response.status, body: parseBody(await response.text()) }
  if (response.ok) return answer
  throw new ApiError('refused', `${method} ${path}: ${response.status} ${reasonIn(answer.body)}`)
}

function send(url: URL, request: { method: string; body: unknown }): Promise<Response> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  if (request.body === undefined) return fetch(url, { method: request.method, signal })
  const headers = { 'content-type': 'application/json' }
  return fetch(url, { method: request.method, signal, headers, body: JSON.stringify(request.body) })
}

function parseBody(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return text
    throw error
  }
}

function reasonIn(body: unknown): string {
  if (typeof body === 'object' && body !== null) {
    if ('error' in body) return String(body.error)
    if ('detail' in body) return String(body.detail)
  }
  return typeof body === 'string' ? body.trim().slice(0, 200) : ''
}
