import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

// Debian leaves these out of an ordinary user's PATH, and puts servers there.
const FURTHER_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin']

/** The path of a program, looked for as a shell would; undefined where there is none. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...FURTHER_FOLDERS]
  return folders.map(folder => join(folder, name)).find(isExecutable)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false
    throw error
  }
}
