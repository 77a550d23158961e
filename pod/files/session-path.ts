import { PodError } from '../errors.ts'

/** As Linux has it for one path, without the NUL at its end (path_resolution(7)). */
const MAX_PATH_BYTES = 4095

/**
 * Takes a path that a client sent apart into names, relative to the session's directory. Leading slashes do not count:
 * the session's directory is the root of everything that a client can name. `..` is refused (`outside`) even where it
 * would stay inside, a NUL is `bad-path`, and so is what is longer than the kernel takes. Empty names and `.` are dropped; no names at all is the directory itself.
 */
export function parseSessionPath(path: string): string[] {
  if (path.includes('\0')) throw new PodError('bad-path', 'A path must not hold a NUL character.')
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw new PodError('bad-path', 'The path is too long.')
  const names = path.split('/').filter(name => name !== '' && name !== '.')
  if (names.includes('..')) throw outside()
  return names
}

/** Undoes the percent encoding of a path as it stood in a request target, once; a bad escape is `bad-path`. */
export function decodePath(raw: string): string {
  try {
    return decodeURIComponent(raw)
  } catch (error) {
    throw new PodError('bad-path', 'The path is not valid percent-encoded UTF-8.', { cause: error })
  }
}

/** The error of a path that leads out of the session's directory. */
export function outside(): PodError {
  return new PodError('outside', "Access denied: the path leads out of the session's directory.")
}
