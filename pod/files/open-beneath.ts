import { constants } from 'node:fs'
import { mkdir, open, readlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { PodError } from '../errors.ts'
import { outside } from './session-path.ts'

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants
/** As Linux has it for one lookup (path_resolution(7)). */
const MAX_LINKS = 40
/** Each name on the way down holds a descriptor, of which the whole pod has a few thousand. */
const MAX_DEPTH = 256

/**
 * Opens what stands at `names` below the directory `root`, for reading, without ever leaving `root`: what openat2(2) does
 * with RESOLVE_BENEATH, which Node does not offer. Each name is opened relative to the descriptor of the directory before
 * (`/proc/self/fd/N/name`) and without following links, so that a command that swaps names meanwhile gains nothing;
 * links are read and followed here, `..` in them pops the stack of descriptors, and one that leads out is `outside`.
 * Missing is `path-missing`. A FIFO does not block. The caller closes the handle.
 */
export async function openBeneath(root: string, names: readonly string[]): Promise<FileHandle> {
  const walk = new Walk(root)
  try {
    return await walk.to(names)
  } catch (error) {
    throw asPathError(error)
  } finally {
    await walk.close()
  }
}

/** Opens the directory at `names` below `root` and makes the ones that are missing. The caller closes the handle. */
export async function makeDirectoryBeneath(root: string, names: readonly string[]): Promise<FileHandle> {
  const walk = new Walk(root, { makeDirectories: true })
  try {
    return await walk.to([...names, '.'])
  } catch (error) {
    throw asPathError(error)
  } finally {
    await walk.close()
  }
}

/** Path by which a name in an open directory is reached, whatever has become of that directory's own path. */
export function nameIn(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`
}

class Walk {
  readonly #root: string
  readonly #makeDirectories: boolean
  #stack: FileHandle[] = []
  #links = 0

  constructor(root: string, options: { makeDirectories?: boolean } = {}) {
    this.#root = root
    this.#makeDirectories = options.makeDirectories ?? false
  }

  async to(names: readonly string[]): Promise<FileHandle> {
    this.#stack = [await open(this.#root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)]
    const rest = [...names]
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      if (name === '' || name === '.') continue
      if (name === '..') await this.#up()
      else {
        const file = await this.#enter(name, rest)
        if (file !== null) return file
      }
    }
    return this.#stack.pop()!
  }

  async close(): Promise<void> {
    await Promise.all(this.#stack.map(handle => handle.close()))
  }

  async #up(): Promise<void> {
    if (this.#stack.length === 1) throw outside()
    await this.#stack.pop()?.close()
  }

  /** Goes one name on: a directory is pushed, a link's names are put before the rest, a file as the last name is returned. */
  async #enter(name: string, rest: string[]): Promise<FileHandle | null> {
    if (this.#stack.length > MAX_DEPTH) throw new PodError('bad-path', 'The path has too many directories.')
    const path = nameIn(this.#stack.at(-1)!, name)
    const isLast = rest.length === 0
    try {
      const handle = await this.#open(path, isLast ? O_NONBLOCK : O_DIRECTORY)
      // Kept before it is looked at, so that it is closed where the look fails.
      this.#stack.push(handle)
      if (isLast && !(await handle.stat()).isDirectory()) return this.#stack.pop()!
    } catch (error) {
      await this.#followLink(path, rest, error)
    }
    return null
  }

  async #open(path: string, flags: number): Promise<FileHandle> {
    const all = O_RDONLY | O_NOFOLLOW | flags
    try {
      return await open(path, all)
    } catch (error) {
      if (!this.#makeDirectories || codeOf(error) !== 'ENOENT') throw error
      await mkdir(path).catch((failure: unknown) => {
        if (codeOf(failure) !== 'EEXIST') throw failure
      })
      return open(path, all)
    }
  }

  async #followLink(path: string, rest: string[], why: unknown): Promise<void> {
    // Opening a link with O_NOFOLLOW fails with ELOOP, and with ENOTDIR where O_DIRECTORY is set too.
    if (codeOf(why) !== 'ELOOP' && codeOf(why) !== 'ENOTDIR') throw why
    const target = await readlink(path).catch(() => null)
    if (target === null) throw why
    this.#links += 1
    if (this.#links > MAX_LINKS) throw new PodError('bad-path', 'The path has too many symbolic links.')
    if (target.startsWith('/')) {
      rest.unshift(...this.#belowRoot(target))
      while (this.#stack.length > 1) await this.#stack.pop()?.close()
    } else rest.unshift(...target.split('/'))
  }

  /** Names of an absolute link's target, which may stand only below the session's directory as its commands see it. */
  #belowRoot(target: string): string[] {
    if (target !== this.#root && !target.startsWith(`${this.#root}/`)) throw outside()
    return target.slice(this.#root.length).split('/')
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** What a failed call of the file system means for whoever named the path; anything that is not about the path comes back as it is. */
export function asPathError(error: unknown): unknown {
  switch (codeOf(error)) {
    case 'ENOENT':
      return new PodError('path-missing', 'File not found.', { cause: error })
    case 'ENOTDIR':
      return new PodError('path-missing', 'Not found: a name on the way is not a directory.', { cause: error })
    case 'ENAMETOOLONG':
      return new PodError('bad-path', 'The path is too long.', { cause: error })
    case 'EACCES':
      return new PodError('outside', 'Access denied by the permissions of the file.', { cause: error })
    case 'ENXIO':
    case 'ENODEV':
      return new PodError('not-a-file', 'Neither a regular file nor a directory.', { cause: error })
    default:
      return error
  }
}
