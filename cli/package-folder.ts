import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The path of a file in this package, seen from its root; the same in a checkout and in what is published, where this code runs from `dist/`. */
export function packageFile(...parts: string[]): string {
  const parent = join(dirname(fileURLToPath(import.meta.url)), '..')
  return join(existsSync(join(parent, 'package.json')) ? parent : join(parent, '..'), ...parts)
}
