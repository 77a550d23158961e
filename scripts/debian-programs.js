// Installs Debian packages whose programs are missing, without leaving a system service running that apt started.

import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fail, runQuietly, step } from './setup-step.js'

// Some servers live in sbin, which an ordinary user's PATH leaves out on Debian.
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']

// Debian asks this program before it starts a service; 101 means "do not".
const POLICY = '/usr/sbin/policy-rc.d'
const REFUSE_TO_START = '#!/bin/sh\nexit 101\n'

/** Makes sure that every `{ program | file, package }` is there; tells what to do and exits with 1 where it cannot. */
export function ensureDebianPrograms(wanted) {
  const missing = wanted.filter(one => !isThere(one)).map(one => one.package)
  if (missing.length === 0) return
  if (!isDebian()) fail(`please install these programs with your system's package manager: ${missing.join(' ')}`)
  const install = `apt-get install -y --no-install-recommends ${missing.join(' ')}`
  if (process.getuid?.() !== 0)
    fail(`missing ${missing.join(', ')}; run this and start again:\n  sudo apt-get update && sudo ${install}`)
  step(`installing Debian packages: ${missing.join(' ')}`)
  withoutStartingServices(() => {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    runQuietly('apt-get', ['update', '-qq'], { env })
    runQuietly('apt-get', install.split(' ').slice(1), { env })
  })
  disableAtBoot(missing)
  const still = wanted.filter(one => !isThere(one)).map(one => one.package)
  if (still.length > 0) fail(`apt-get installed ${still.join(', ')}, but what is needed from it is not there`)
}

function isThere({ program, file }) {
  return program === undefined ? existsSync(file) : FOLDERS.some(folder => isExecutable(join(folder, program)))
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch (error) {
    if (['ENOENT', 'EACCES', 'ENOTDIR'].includes(error.code)) return false
    throw error
  }
}

function isDebian() {
  return existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get') && existsSync('/etc/os-release')
}

function withoutStartingServices(install) {
  // A policy that is already there is somebody's decision: it stays.
  const ours = !existsSync(POLICY)
  if (!ours) return install()
  // `fail` ends the process, which skips a `finally`.
  process.once('exit', removeOurPolicy)
  writeFileSync(POLICY, REFUSE_TO_START, { mode: 0o755 })
  install()
  removeOurPolicy()
}

function removeOurPolicy() {
  if (existsSync(POLICY) && readFileSync(POLICY, 'utf8') === REFUSE_TO_START) rmSync(POLICY)
}

// The machine had no such service before; it should not get one at its next boot either.
function disableAtBoot(packages) {
  const services = packages.filter(name => existsSync(`/lib/systemd/system/${name}.service`))
  if (services.length === 0 || !FOLDERS.some(folder => isExecutable(join(folder, 'systemctl')))) return
  spawnSync('systemctl', ['disable', ...services], { stdio: 'ignore' })
}
