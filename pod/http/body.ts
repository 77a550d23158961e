import type { IncomingMessage } from 'node:http'
import { formatBytes } from '../../lib/units.ts'
import { PodError } from '../errors.ts'
import type { Call } from './call.ts'

/** Bounds on a request's body. */
export interface BodyLimits {
  readonly maxRequestBytes: number
  /** For a JSON body as a whole; for an upload between two pieces of it. */
  readonly bodyTimeoutMs: number
}

/** Lets a client that waits for it (`Expect: 100-continue`) send the body. Must come before the body is read, and after the gate. */
export function askForBody(call: Call): void {
  if (call.request.headers.expect?.toLowerCase() === '100-continue') call.response.writeContinue()
}

/** Reads a JSON object from the body. `bad-request` when it is none, `too-large`, `body-timeout`. An empty body is `{}`. */
export async function readJsonObject(call: Call, limits: BodyLimits): Promise<Readonly<Record<string, unknown>>> {
  if (Number(call.request.headers['content-length'] ?? 0) > limits.maxRequestBytes)
    throw tooLarge(limits.maxRequestBytes)
  askForBody(call)
  const text = await readText(call.request, limits)
  if (text.trim() === '') return {}
  const value = parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PodError('bad-request', 'The body must be a JSON object.')
  }
  return Object.fromEntries(Object.entries(value))
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new PodError('bad-request', 'The body is not valid JSON.', { cause: error })
  }
}

function readText(request: IncomingMessage, limits: BodyLimits): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    // By events, because leaving a `for await` loop early destroys the socket that the answer has to go through.
    const settle = (act: () => void): void => {
      clearTimeout(timer)
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      act()
    }
    const fail = (error: PodError): void => settle(() => reject(error))
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length
      if (bytes > limits.maxRequestBytes) fail(tooLarge(limits.maxRequestBytes))
      else chunks.push(chunk)
    }
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks).toString('utf8')))
    const onClose = (): void => fail(new PodError('bad-request', 'The body was cut short.'))
    const timer = setTimeout(() => {
      fail(new PodError('body-timeout', 'The body did not arrive in time.'))
    }, limits.bodyTimeoutMs)
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

/** The error of a body that is larger than it may be. */
export function tooLarge(maxBytes: number): PodError {
  return new PodError('too-large', `The body is larger than ${formatBytes(maxBytes)}.`)
}
