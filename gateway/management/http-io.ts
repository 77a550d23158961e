import { errorBody, errorFields, statusOf } from '../errors.ts'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ErrorCode } from '../errors.ts'

/** Answers with JSON. */
export function sendJson(
  response: ServerResponse,
  status: number,
  options: { value: unknown; fields?: Record<string, string> }
): void {
  sendText(response, status, { text: JSON.stringify(options.value), ...(options.fields && { fields: options.fields }) })
}

/** Answers with text that is JSON already, unless `fields` name another type. */
export function sendText(
  response: ServerResponse,
  status: number,
  options: { text: string; fields?: Record<string, string> }
): void {
  const length = { 'Content-Length': String(Buffer.byteLength(options.text)) }
  response.writeHead(status, { 'Content-Type': 'application/json', ...length, ...options.fields })
  response.end(options.text)
}

/** Answers with an error in the dialect of the paths. */
export function sendError(
  response: ServerResponse,
  code: ErrorCode,
  options: { id?: string; fields?: Record<string, string> } = {}
): void {
  const text = errorBody(code, 'regina', options.id)
  sendText(response, statusOf(code), { text, fields: { ...errorFields(code), ...options.fields } })
}

/** A create request holds an id and little more. */
const MAX_BODY_BYTES = 65_536

/** Reads a request body that is empty or a JSON object; answers an error code where it is neither. Rejects where the client breaks off. */
export async function readJsonObject(request: IncomingMessage): Promise<Record<string, unknown> | ErrorCode> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_BODY_BYTES) return 'body-too-large'
    chunks.push(chunk)
  }
  return length === 0 ? {} : parseObject(Buffer.concat(chunks).toString('utf8'))
}

function parseObject(text: string): Record<string, unknown> | ErrorCode {
  const value = parseJson(text)
  return isObject(value) ? value : 'body-invalid'
}

/** Parses JSON; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Tells whether a value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
