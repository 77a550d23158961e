import { constants } from 'node:fs'
import { open, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BackupDirectoryError } from './errors.ts'
import { hasCode } from './fs-fault.ts'
import { pathBytes, pathOf } from './byte-path.ts'
import type { BytePath } from './byte-path.ts'
import type { FileHandle } from 'node:fs/promises'

// The kernel's own name for an open file: nothing can be swapped below it, and it is short where the real path is long.
const FD_LINKS = process.platform === 'linux'

/**
 * A session's directory, held open, from which paths are followed. Whatever a command of the session puts in the way (a symbolic link
 * in place of a directory, between two looks at it), nothing outside of the directory is opened.
 */
export class TreeRoot {
  readonly #handle: FileHandle
  readonly #realPath: BytePath
  readonly #prefix: string

  private constructor(handle: FileHandle, paths: { real: BytePath; prefix: string }) {
    this.#handle = handle
    this.#realPath = paths.real
    this.#prefix = paths.prefix
  }

  /** Opens a directory; the caller closes it. Throws BackupDirectoryError when there is none. */
  static async open(directory: string): Promise<TreeRoot> {
    try {
      const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY)
      const prefix = FD_LINKS ? `/proc/self/fd/${handle.fd}` : directory
      const real = await orClose(handle, placeOf(handle, directory))
      return new TreeRoot(handle, { real, prefix })
    } catch (error) {
      throw new BackupDirectoryError(`cannot open the session's directory ${directory}`, { cause: error })
    }
  }

  /** A path below the directory, for calls of node:fs; good while this is open. The last part is not followed by calls that do not follow links. */
  at(path: BytePath): Buffer {
    return pathBytes(
      path === '' ? `${pathOf(Buffer.from(this.#prefix))}/` : `${pathOf(Buffer.from(this.#prefix))}/${path}`
    )
  }

  /**
   * Opens what lies at the path, never through a symbolic link, never waiting for a fifo's other end; null when that is gone or something else took its place.
   * Fails with ENAMETOOLONG where the path, from the root of the file system, is longer than the kernel tells.
   */
  async open(path: BytePath, flags = 0): Promise<FileHandle | null> {
    const handle = await open(
      this.at(path),
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | flags
    ).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return null
      throw error
    })
    if (handle === null || (await orClose(handle, this.#isAt(handle, path)))) return handle
    await handle.close()
    return null
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#handle.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #isAt(handle: FileHandle, path: BytePath): Promise<boolean> {
    if (!FD_LINKS) return true
    const expected = path === '' ? this.#realPath : `${this.#realPath}/${path}`
    return (await placeOf(handle, '')) === expected
  }
}

/** What was found out about an open file; closes it where that fails, because one that is forgotten ends the process when it is collected. */
async function orClose<T>(handle: FileHandle, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function placeOf(handle: FileHandle, otherwise: string): Promise<BytePath> {
  if (!FD_LINKS) return pathOf(Buffer.from(otherwise))
  return pathOf(await readlink(join('/proc/self/fd', String(handle.fd)), { encoding: 'buffer' }))
}
