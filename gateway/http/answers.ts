import { STATUS_CODES } from 'node:http'

import type { Answer } from './resolver.ts'

/** Makes the body and header lines of an answer that the proxy itself gives, for a status and a short reason. */
export type AnswerFormat = (status: number, reason: string) => { fields: string; body: string }

/** `{"detail": reason}` as JSON. */
export const formatDetail: AnswerFormat = (_status, reason) => ({
  fields: 'Content-Type: application/json\r\n',
  body: JSON.stringify({ detail: reason })
})

/** The bytes of an answer. `version` is that of the client; `close` says that the connection ends with it. */
export function answerText(answer: Answer, options: { close: boolean; keepAlive: boolean; withBody: boolean }): string {
  const { status, fields, body } = answer
  const connection = options.close ? 'Connection: close\r\n' : options.keepAlive ? 'Connection: keep-alive\r\n' : ''
  const length = `Content-Length: ${Buffer.byteLength(body)}\r\n`
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${fields}${length}${connection}\r\n`
  return options.withBody ? head + body : head
}
