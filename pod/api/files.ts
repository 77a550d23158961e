import { constants } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { PodError, asPodError } from '../errors.ts'
import { nameIn, openBeneath } from '../files/open-beneath.ts'
import { decodePath, parseSessionPath } from '../files/session-path.ts'
import { sendJson } from '../http/answer.ts'
import type { Route, SessionCall } from '../http/call.ts'

const LIST_BATCH = 64

/** `GET /download/{path}`, `GET /list/{path}` and `GET /exists/{path}`. */
export const fileRoutes: readonly Route[] = [
  fileRoute('/download/*', download),
  fileRoute('/list/*', list),
  fileRoute('/list', list),
  fileRoute('/exists/*', exists)
]

function fileRoute(path: string, handle: (call: SessionCall) => Promise<void>): Route {
  return { kind: 'session', method: 'GET', path, dialect: 'sandbox', access: 'use', idInPath: false, handle }
}

function pathOf(call: SessionCall): string {
  return decodePath(call.params[0] ?? '')
}

async function download(call: SessionCall): Promise<void> {
  await using file = await openBeneath(call.session.directory, parseSessionPath(pathOf(call)))
  const stat = await file.stat()
  if (!stat.isFile()) throw new PodError('not-a-file', 'Not a regular file.')
  const { request, response, signal } = call
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': stat.size,
    'last-modified': stat.mtime.toUTCString()
  })
  if (request.method === 'HEAD' || stat.size === 0) {
    response.end()
    return
  }
  await send(file, { size: stat.size, call, signal })
}

/** Sends exactly as many bytes as were announced. A file that shrinks meanwhile ends in a cut connection, not in a short answer. */
async function send(
  file: FileHandle,
  options: { size: number; call: SessionCall; signal: AbortSignal }
): Promise<void> {
  const { size, call, signal } = options
  const stream = file.createReadStream({ start: 0, end: size - 1, autoClose: false, highWaterMark: 256 * 1024 })
  try {
    await pipeline(stream, call.response, { signal, end: false })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
  if (stream.bytesRead < size) throw new PodError('internal', 'The file became shorter while it was sent.')
  call.response.end()
}

interface Entry {
  readonly name: string
  readonly size: number
  readonly type: 'file' | 'directory'
  /** Unix time in seconds. */
  readonly mod_time: number
}

async function list(call: SessionCall): Promise<void> {
  await using directory = await openBeneath(call.session.directory, parseSessionPath(pathOf(call)))
  if (!(await directory.stat()).isDirectory()) throw new PodError('not-a-directory', 'Not a directory.')
  const names = (await readdir(nameIn(directory, '.'))).toSorted()
  const entries: Entry[] = []
  for (let i = 0; i < names.length; i += LIST_BATCH) {
    const batch = names.slice(i, i + LIST_BATCH).map(name => entryOf(directory, name))
    entries.push(...(await Promise.all(batch)).filter(entry => entry !== null))
  }
  sendJson(call.response, 200, entries)
}

/** One line of a listing; null for a name that vanished meanwhile or is not UTF-8. A link counts as a file of its own length. */
async function entryOf(directory: FileHandle, name: string): Promise<Entry | null> {
  const stat = await lstat(nameIn(directory, name)).catch(() => null)
  if (stat === null) return null
  const isDirectory = (stat.mode & constants.S_IFMT) === constants.S_IFDIR
  return { name, size: stat.size, type: isDirectory ? 'directory' : 'file', mod_time: stat.mtimeMs / 1000 }
}

async function exists(call: SessionCall): Promise<void> {
  const path = pathOf(call)
  sendJson(call.response, 200, { path, exists: await isThere(call.session.directory, path) })
}

async function isThere(root: string, path: string): Promise<boolean> {
  try {
    await using file = await openBeneath(root, parseSessionPath(path))
    return file.fd >= 0
  } catch (error) {
    const { code } = asPodError(error)
    // A socket cannot be opened, but it is there.
    if (code === 'not-a-file') return true
    if (code === 'path-missing') return false
    throw error
  }
}
