import type { ServerResponse } from 'node:http'
import { REFUSED_HEADER } from '../../lib/protocol.ts'
import { ERROR_ANSWERS, errorBody } from '../errors.ts'
import type { Dialect, PodError } from '../errors.ts'

/** Answers with JSON. Does nothing once the client has left. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed || response.headersSent) return
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.end(text)
}

/** Answers 204. */
export function sendNothing(response: ServerResponse): void {
  if (response.destroyed || response.headersSent) return
  response.writeHead(204)
  response.end()
}

/**
 * Answers with an error in the client's dialect. Where the head has gone out already, the connection is cut instead, so
 * that a response that ends early can never be taken for a whole one.
 */
export function sendError(response: ServerResponse, error: PodError, dialect: Dialect): void {
  if (response.headersSent || response.destroyed) {
    if (!response.writableFinished) response.destroy()
    return
  }
  const { status, refused, retryAfterS } = ERROR_ANSWERS[error.code]
  for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value)
  if (refused !== undefined) response.setHeader(REFUSED_HEADER, refused)
  if (retryAfterS !== undefined) response.setHeader('retry-after', retryAfterS)
  // The rest of a body that was too large, or too slow, is not worth reading; one that waits to be asked for may never come.
  const isBodyUnread = !response.req.complete && response.req.headers.expect !== undefined
  if (status === 413 || status === 408 || isBodyUnread) response.setHeader('connection', 'close')
  sendJson(response, status, errorBody(error, dialect))
}
