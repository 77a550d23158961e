import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { Busboy } from '@fastify/busboy'
import type { BusboyFileStream, BusboyHeaders, BusboyInstance } from '@fastify/busboy'
import { errorText } from '../../lib/errors.ts'
import { formatBytes } from '../../lib/units.ts'
import { PodError } from '../errors.ts'
import { asPathError, makeDirectoryBeneath, nameIn } from '../files/open-beneath.ts'
import { parseSessionPath } from '../files/session-path.ts'
import { sendJson } from '../http/answer.ts'
import { askForBody } from '../http/body.ts'
import type { Route, SessionCall } from '../http/call.ts'
import type { DataDirectory } from '../session/data-directory.ts'

/** Bounds and places of uploads. */
export interface UploadSettings {
  readonly data: DataDirectory
  readonly maxUploadBytes: number
  /** Longest pause of a body. */
  readonly bodyTimeoutMs: number
  /** Throws where the lease is over; asked again once the file has come, and right before it appears in the session. */
  readonly check: () => void
}

/** `POST /upload`, multipart with one field `file`: its file name is the path in the session's directory. The file appears whole or not at all. */
export function uploadRoute(settings: UploadSettings): Route {
  const handle = (call: SessionCall): Promise<void> => upload(call, settings)
  return {
    kind: 'session',
    method: 'POST',
    path: '/upload',
    dialect: 'sandbox',
    access: 'run',
    idInPath: false,
    handle
  }
}

async function upload(call: SessionCall, settings: UploadSettings): Promise<void> {
  const temporary = settings.data.uploadPath()
  try {
    const { path, size } = await receive(call, { settings, temporary })
    const names = parseSessionPath(path)
    const name = names.pop()
    if (name === undefined) throw new PodError('bad-path', 'The uploaded file has no name.')
    settings.check()
    await using directory = await makeDirectoryBeneath(call.session.directory, names)
    call.signal.throwIfAborted()
    settings.check()
    await rename(temporary, nameIn(directory, name)).catch(asNotAFile)
    await call.changed()
    sendJson(call.response, 200, { message: 'File uploaded.', path: [...names, name].join('/'), size })
  } finally {
    await rm(temporary, { force: true })
  }
}

function asNotAFile(error: unknown): never {
  const isDirectory =
    error instanceof Error && 'code' in error && (error.code === 'EISDIR' || error.code === 'ENOTEMPTY')
  if (isDirectory) throw new PodError('not-a-file', 'There is a directory of that name.', { cause: error })
  throw asPathError(error)
}

interface Received {
  readonly path: string
  readonly size: number
}

/** Streams the part `file` to a temporary file. Rejects when there is none, when it is too large, or when the body pauses too long. */
async function receive(call: SessionCall, to: { settings: UploadSettings; temporary: string }): Promise<Received> {
  const parser = makeParser(call, to.settings)
  const stop = new AbortController()
  const part: { received: Promise<Received> | null } = { received: null }
  parser.on('file', (field, stream, filename) => {
    if (field !== 'file' || part.received !== null) {
      stream.resume()
      return
    }
    part.received = store(stream, { ...to, path: filename, signal: stop.signal })
    // A part that cannot be stored ends the reading of the body.
    part.received.catch((error: unknown) => parser.destroy(asError(error)))
  })
  askForBody(call)
  try {
    await feed(call, parser, to.settings)
  } catch (error) {
    stop.abort()
    await part.received?.catch(() => undefined)
    throw error
  }
  if (part.received === null) throw new PodError('bad-request', 'The form has no file field named "file".')
  return part.received
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(errorText(thrown))
}

function makeParser(call: SessionCall, settings: UploadSettings): BusboyInstance {
  const type = call.request.headers['content-type'] ?? ''
  if (!/^multipart\/form-data\s*;/i.test(type)) {
    throw new PodError('bad-media-type', 'The body must be multipart/form-data with a field "file".')
  }
  try {
    const headers: BusboyHeaders = { ...call.request.headers, 'content-type': type }
    // One byte more than allowed, because a file of exactly the limit is not told from a cut one.
    const limits = { fileSize: settings.maxUploadBytes + 1, files: 4, fields: 16, parts: 20, fieldSize: 65_536 }
    return new Busboy({ headers, limits, preservePath: true })
  } catch (error) {
    throw new PodError('bad-request', `The form cannot be read: ${errorText(error)}.`, { cause: error })
  }
}

async function store(
  stream: BusboyFileStream,
  to: { settings: UploadSettings; temporary: string; path: string; signal: AbortSignal }
): Promise<Received> {
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  await pipeline(stream, createWriteStream(to.temporary, { flags: 'wx', mode: 0o644 }), { signal: to.signal })
  const { maxUploadBytes } = to.settings
  if (size > maxUploadBytes) {
    throw new PodError('too-large', `The file is larger than ${formatBytes(maxUploadBytes)}.`)
  }
  return { path: to.path, size }
}

/** Passes the body to the parser until its end, within the limits of time. */
function feed(call: SessionCall, parser: BusboyInstance, settings: UploadSettings): Promise<void> {
  const { request, signal } = call
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      request.unpipe(parser)
      act()
    }
    const fail = (error: unknown): void =>
      settle(() => {
        parser.destroy()
        reject(
          error instanceof PodError
            ? error
            : new PodError('bad-request', `The form cannot be read: ${errorText(error)}.`)
        )
      })
    const onAbort = (): void => fail(signal.reason)
    const timer = setTimeout(() => {
      fail(new PodError('body-timeout', 'The body did not arrive in time.'))
    }, settings.bodyTimeoutMs)
    signal.addEventListener('abort', onAbort)
    request.on('data', () => timer.refresh())
    request.on('close', () => {
      if (!request.complete) fail(new PodError('bad-request', 'The body was cut short.'))
    })
    parser.on('error', fail).on('finish', () => settle(resolve))
    request.pipe(parser)
  })
}
