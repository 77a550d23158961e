import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FairleadError } from '../../lib/errors.ts'
import { lockFile } from '../../lib/lock-file.ts'
import { callApi } from '../api-client.ts'
import { isFields, listUnder } from '../fields.ts'
import type { Fields } from '../fields.ts'
import { packageFile } from '../package-folder.ts'
import { ChildOutput } from './child-output.ts'
import { foldersIn, gatewayArguments, podArguments } from './dev-plan.ts'
import type { DevFolders, DevOptions } from './dev-plan.ts'
import { claimPort } from './ports.ts'
import { markSettled, spawnRedis, whenRedisAnswers } from './redis-server.ts'
import { SupervisedChild } from './supervised-child.ts'
import type { ChildEvent, ChildSpec } from './supervised-child.ts'

// Longer than the two seconds that gateway and pods are given for their own drains.
const CHILD_GRACE_MS = 5000
const REDIS_GRACE_MS = 2000
// A gateway that was started before its pods hears of them at once; this is for a slow machine.
const MEMBERS_TIMEOUT_MS = 15_000
const MEMBERS_POLL_MS = 25

/** Where the running cluster can be reached. */
export interface DevAddresses {
  url: string
  adminUrl: string
  redisUrl: string
  data: string
  /** False when `data` is removed at the end. */
  dataKept: boolean
  pods: { name: string; url: string; pid: number }[]
}

/** One gateway, its pods and a private Redis, as children of this process; dead ones are started again until `close`. */
export class DevCluster {
  readonly #options: DevOptions
  readonly #onEvent: (event: ChildEvent) => void
  readonly #folders: DevFolders
  readonly #temporary: boolean
  #redis: SupervisedChild | undefined
  #services: SupervisedChild[] = []
  #unlock: (() => Promise<void>) | undefined
  #closing: Promise<void> | undefined

  constructor(options: DevOptions, onEvent: (event: ChildEvent) => void) {
    this.#options = options
    this.#onEvent = onEvent
    this.#temporary = options.dataDirectory === undefined
    this.#folders = foldersIn(resolve(options.dataDirectory ?? mkdtempSync(join(tmpdir(), 'fairlead-dev-'))))
  }

  /** Starts everything and resolves when requests are served; when something does not start, rejects with its reason. `close` cleans up in either case. */
  async start(): Promise<DevAddresses> {
    const ports = {
      port: await claimPort(this.#options.port, '--port'),
      adminPort: await claimPort(this.#options.adminPort, '--admin-port')
    }
    for (const folder of Object.values(this.#folders)) mkdirSync(folder, { recursive: true, mode: 0o700 })
    // Before Redis: two that append to the same file would spoil it.
    this.#unlock = await lockFile(join(this.#folders.root, 'lock'), '--data')
    const redisUrl = this.#options.redisUrl ?? (await this.#startRedis())
    if (this.#closing !== undefined) throw new FairleadError('closed', 'stopped while starting')
    const gateway = this.#child('gateway', gatewayArguments(ports, this.#folders), redisUrl)
    const pods = this.#podNames().map(name =>
      this.#child(name, podArguments(name, this.#options, this.#folders), redisUrl)
    )
    this.#services = [gateway, ...pods]
    await Promise.all(this.#services.map(async service => service.start()))
    const adminUrl = String(gateway.facts['adminUrl'])
    await whenMembersKnown(adminUrl, this.#podNames())
    return {
      url: String(gateway.facts['url']),
      adminUrl,
      redisUrl,
      data: this.#folders.root,
      dataKept: !this.#temporary,
      pods: pods.map(pod => ({ name: pod.name, url: String(pod.facts['url']), pid: pod.pid ?? 0 }))
    }
  }

  /** Ends everything, pods and gateway before Redis, each within a bound, and removes the temporary directory. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  /** Kills every child and removes the temporary directory, now. */
  kill(): void {
    for (const child of [...this.#services, this.#redis]) child?.kill()
    this.#removeTemporary()
  }

  async #close(): Promise<void> {
    await Promise.all(this.#services.map(async service => service.stop(CHILD_GRACE_MS)))
    await this.#redis?.stop(REDIS_GRACE_MS)
    await this.#unlock?.()
    this.#removeTemporary()
  }

  #removeTemporary(): void {
    if (this.#temporary) rmSync(this.#folders.root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }

  #podNames(): string[] {
    return Array.from({ length: this.#options.podCount }, (_, index) => `pod-${index + 1}`)
  }

  async #startRedis(): Promise<string> {
    const port = await claimPort(0, '')
    const options = { port, directory: this.#folders.redis, durable: !this.#temporary }
    this.#redis = this.#supervise('redis', {
      spawn: () => spawnRedis(options),
      whenReady: async (_child, signal) => whenRedisAnswers(port, signal)
    })
    await this.#redis.start()
    const url = `redis://127.0.0.1:${port}`
    await markSettled(url)
    return url
  }

  #child(name: string, args: string[], redisUrl: string): SupervisedChild {
    return this.#supervise(name, { spawn: () => spawnCommand(args, redisUrl), whenReady: readyMessage })
  }

  #supervise(name: string, how: Pick<ChildSpec, 'spawn' | 'whenReady'>): SupervisedChild {
    const logFile = join(this.#folders.logs, `${name}.log`)
    const output = new ChildOutput(name, { logFile, verbose: this.#options.verbose })
    return new SupervisedChild({ name, output, onEvent: this.#onEvent, ...how })
  }
}

function spawnCommand(args: string[], redisUrl: string): ChildProcess {
  // Redis's URL may hold a password: not on a command line that everybody on the machine can read.
  const env = { ...process.env, FAIRLEAD_REDIS_URL: redisUrl }
  // Its own process group: Ctrl-C must reach the parent only, which then ends its children in order.
  return spawn(process.execPath, [packageFile('cli', 'bin.js'), ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true
  })
}

async function readyMessage(child: ChildProcess, signal: AbortSignal): Promise<Fields> {
  const [message]: unknown[] = await once(child, 'message', { signal })
  if (isFields(message) && message['ready'] === true) return message
  throw new FairleadError('child-start', `unexpected message from a child: ${JSON.stringify(message)}`)
}

// The pods have registered; a gateway learns it a moment later, and the first session needs a pod.
async function whenMembersKnown(adminUrl: string, names: readonly string[]): Promise<void> {
  const deadline = performance.now() + MEMBERS_TIMEOUT_MS
  let missing = names
  while (missing.length > 0) {
    if (performance.now() > deadline) {
      throw new FairleadError('no-members', `the gateway at ${adminUrl} does not see ${missing.join(', ')}`)
    }
    await delay(MEMBERS_POLL_MS)
    const { body } = await callApi('/members', { base: adminUrl, flag: '--admin-port' })
    const known = new Set(listUnder(body, 'members').map(member => member['id']))
    missing = names.filter(name => !known.has(name))
  }
}
