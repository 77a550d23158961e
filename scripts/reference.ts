// Writes the generated parts of README.md anew, or, with --check, says whether they are up to date.
import { readFileSync, writeFileSync } from 'node:fs'

import { renderReadme } from './render-readme.ts'

const path = new URL('../README.md', import.meta.url)
const before = readFileSync(path, 'utf8')
const after = renderReadme(before)
if (process.argv.includes('--check')) process.exitCode = before === after ? 0 : 1
else writeFileSync(path, after)
