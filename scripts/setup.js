// Makes a checkout ready to run: npm packages, the pinned Node, Debian packages. Plain JavaScript without dependencies,
// because it runs before anything is installed, on Node 18 or later. Quick when there is nothing to do.
//
//   node scripts/setup.js [--test] [--bench]

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureDebianPrograms } from './debian-programs.js'
import { fail, runQuietly, step } from './setup-step.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MODULES = join(ROOT, 'node_modules')
const PINNED_NODE = join(MODULES, 'node', 'bin', 'node')
const NODE_LINK = join(MODULES, '.bin', 'node')
const OLDEST_NODE = 18

// `npm run` puts node_modules/.bin first, and with it the very Node that npm is about to replace.
const PATH_WITHOUT_MODULES = (process.env.PATH ?? '')
  .split(delimiter)
  .filter(folder => !folder.endsWith(join('node_modules', '.bin')))
  .join(delimiter)

const PROGRAMS = [{ program: 'redis-server', package: 'redis-server' }]
const BENCH_PROGRAMS = [
  { program: 'nginx', package: 'nginx' },
  { program: 'haproxy', package: 'haproxy' },
  { program: 'wrk', package: 'wrk' },
  { program: 'gcc', package: 'gcc' },
  { file: '/usr/include/stdio.h', package: 'libc6-dev' }
]

function main(flags) {
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE)
    fail(`Node ${OLDEST_NODE} or later is needed, this is ${process.version}`)
  ensurePackages()
  if (flags.includes('--test')) ensureTestRunner()
  ensureDebianPrograms([...PROGRAMS, ...(flags.includes('--bench') ? BENCH_PROGRAMS : [])])
}

function ensurePackages() {
  const lock = readFileSync(join(ROOT, 'package-lock.json'), 'utf8')
  const version = JSON.parse(lock).packages['node_modules/node'].version
  const wanted = stampOf(lock, version)
  if (stampIs('.fairlead-setup', wanted) && existsSync(PINNED_NODE) && existsSync(NODE_LINK)) return
  step('installing npm packages (about a minute the first time)')
  // Not `npm ci`: it refuses a lock file that was written on one platform and so lacks the optional packages of the others.
  // `--no-save` takes every version from the lock file too, and leaves that file alone.
  runNpm(['install', '--no-save'], ROOT)
  ensurePinnedNode(version)
  // npm links only what is there when it would have run the install script.
  if (!existsSync(NODE_LINK)) symlinkSync(join('..', 'node', 'bin', 'node'), NODE_LINK)
  writeFileSync(join(MODULES, '.fairlead-setup'), wanted)
}

// npm may have been told not to run install scripts; the package `node` has nothing but its install script.
function ensurePinnedNode(version) {
  if (pinnedVersion() === `v${version}`) return
  step(`fetching Node ${version}`)
  const folder = join(MODULES, 'node')
  runQuietly(process.execPath, ['installArchSpecificPackage.js'], { cwd: folder, env: npmEnvironment() })
  const found = pinnedVersion()
  if (found !== `v${version}`) fail(`${PINNED_NODE} should be Node ${version}, but ${found ?? 'does not run'}`)
}

function pinnedVersion() {
  const { status, stdout } = spawnSync(PINNED_NODE, ['--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

// tap writes its test library once, from its plugins; without this it does so in the first test run, and fails there on Node 26.
function ensureTestRunner() {
  const wanted = stampOf(
    readFileSync(join(ROOT, '.taprc'), 'utf8'),
    readFileSync(join(MODULES, '.fairlead-setup'), 'utf8')
  )
  if (stampIs('.fairlead-setup-test', wanted)) return
  step('building the test runner (a few seconds, once)')
  runQuietly(PINNED_NODE, [join(MODULES, 'tap', 'dist', 'esm', 'run.mjs'), 'build'], {
    cwd: ROOT,
    env: pinnedEnvironment()
  })
  writeFileSync(join(MODULES, '.fairlead-setup-test'), wanted)
}

function runNpm(args, cwd) {
  const quiet = ['--loglevel=error', '--no-audit', '--no-fund', '--no-progress']
  // npm says which npm started this script; without one, whatever is called npm.
  const npm = process.env.npm_execpath?.endsWith('npm-cli.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  const [program, ...first] = npm
  runQuietly(program, [...first, ...args, ...quiet], { cwd, env: npmEnvironment() })
}

function npmEnvironment() {
  return {
    ...process.env,
    PATH: PATH_WITHOUT_MODULES,
    npm_config_loglevel: 'error',
    npm_config_update_notifier: 'false'
  }
}

function pinnedEnvironment() {
  return { ...process.env, PATH: join(MODULES, '.bin') + delimiter + PATH_WITHOUT_MODULES }
}

function stampOf(...parts) {
  return createHash('sha256')
    .update(JSON.stringify([...parts, process.platform, process.arch]))
    .digest('hex')
}

function stampIs(name, wanted) {
  const file = join(MODULES, name)
  return existsSync(file) && readFileSync(file, 'utf8') === wanted
}

main(process.argv.slice(2))
