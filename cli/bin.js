#!/usr/bin/env node
// Starts the command line on a Node that can run it: the one that runs this file if it is new enough, else the pinned one.
// Plain JavaScript without dependencies, because it must load on any Node that somebody happens to have.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const OLDEST_NODE = 24
const FORWARDED_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP']

const here = dirname(fileURLToPath(import.meta.url))
const source = join(here, 'main.ts')
// A published package holds no sources, a checkout holds no built files that can be trusted to be fresh.
const main = existsSync(source) ? source : join(here, '..', 'dist', 'cli', 'main.js')

if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) await import(pathToFileURL(main).href)
else runOnPinnedNode()

function runOnPinnedNode() {
  const node = pinnedNode()
  if (node === undefined) {
    const help = 'install a newer one, or run "npm rebuild node" (in a checkout: node scripts/setup.js)'
    process.stderr.write(`fairlead needs Node ${OLDEST_NODE} or later, and this is ${process.version}: ${help}\n`)
    process.exit(1)
  }
  // The channel tells the child when this process is killed.
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  for (const signal of FORWARDED_SIGNALS) process.on(signal, () => child.kill(signal))
  child.on('error', error => {
    process.stderr.write(`fairlead cannot start ${node}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => endLike(code, signal))
}

function pinnedNode() {
  try {
    const file = join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin', 'node')
    return existsSync(file) ? file : undefined
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}

function endLike(code, signal) {
  for (const name of FORWARDED_SIGNALS) process.removeAllListeners(name)
  if (signal === null) process.exit(code)
  process.kill(process.pid, signal)
  // A signal that does not end this process, such as SIGSEGV of the child with core dumps handled elsewhere: the shell's number for it.
  setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100)
}
