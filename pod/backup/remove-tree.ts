import { chmod, lstat, readdir, rm } from 'node:fs/promises'
import { hasCode } from './fs-fault.ts'

/** Removes a directory with all it holds, also where its owner took the right to write away from himself; fine when there is none. */
export async function removeTree(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true })
  } catch (error) {
    if (!hasCode(error, 'EACCES', 'EPERM', 'ENOTEMPTY')) throw error
    await openUp(Buffer.from(directory))
    await rm(directory, { recursive: true, force: true })
  }
}

async function openUp(directory: Buffer): Promise<void> {
  await chmod(directory, 0o700)
  for (const name of await readdir(directory, { encoding: 'buffer' })) {
    const path = Buffer.concat([directory, Buffer.from('/'), name])
    if ((await lstat(path)).isDirectory()) await openUp(path)
  }
}
