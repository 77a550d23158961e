import { mkdir } from 'node:fs/promises'

/**
 * Makes a session's directory again where a command has removed it: what is left of the session then is an empty directory,
 * and the session goes on. Does nothing where the whole session has gone from this disk.
 */
export async function keepDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code !== 'EEXIST' && code !== 'ENOENT') throw error
  }
}
