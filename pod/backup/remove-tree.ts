import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, lstat, open, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from './fs-fault.ts'

/** Removes a directory with all it holds, also where its owner took the right to write away from himself, and where it is deeper than a path can name; fine when there is none. */
export async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true })
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'EPERM', 'ENOTEMPTY', 'ENAMETOOLONG')) throw error
    await takeApart(directory)
  }
}

/** Removes a tree from the top: directories two levels down are moved to the top before their parent goes, so that no path grows longer than that. */
async function takeApart(top: string): Promise<void> {
  await chmod(top, 0o700)
  for (let names = await readdir(top, BYTES); names.length > 0; names = await readdir(top, BYTES)) {
    for (const name of names) await takeApartOne(top, below(top, name))
  }
  await rmdir(top)
}

async function takeApartOne(top: string, path: Buffer): Promise<void> {
  if (!(await isOpenedDirectory(path))) return unlink(path)
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  // Where a process of the session still lives and puts a link in its place, nothing behind that is touched.
  const inside = process.platform === 'linux' ? `/proc/self/fd/${directory.fd}` : path
  for (const name of await readdir(inside, BYTES)) {
    const inner = below(inside, name)
    if (await isOpenedDirectory(inner)) await rename(inner, join(top, randomUUID()))
    else await unlink(inner)
  }
  await rmdir(path)
}

/** Whether a directory is there, which may be listed and moved from now on. */
async function isOpenedDirectory(path: Buffer): Promise<boolean> {
  if (!(await lstat(path)).isDirectory()) return false
  await chmod(path, 0o700)
  return true
}

const BYTES = { encoding: 'buffer' } as const

function below(directory: string | Buffer, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(directory), Buffer.from('/'), name])
}
