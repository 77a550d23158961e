// Builds what is published: the sources without tests, bench and demo, as JavaScript in dist/, and the other files beside them.

import { spawnSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = join(ROOT, 'dist')
const FOLDERS = ['cli', 'gateway', 'lib', 'pod']

rmSync(DIST, { recursive: true, force: true })
const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
const { status } = spawnSync(tsc, ['-p', join(ROOT, 'scripts', 'tsconfig.build.json')], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)
for (const folder of FOLDERS) cpSync(join(ROOT, folder), join(DIST, folder), { recursive: true, filter: isAsset })

// Folders pass, so that what is inside them is asked about.
function isAsset(file) {
  return !/\.(ts|js)$/.test(file)
}
