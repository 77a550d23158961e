import { mkdirSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import type { Child } from '../child.ts'
import { fairleadCommand } from '../launch/gateway.ts'
import { listeningUrl } from '../launch/listening-url.ts'
import { startRedis } from '../launch/redis.ts'
import { settleRegistry } from '../registry-seed.ts'
import type { Setting } from '../setting.ts'
import { median, quantile } from '../statistics.ts'

/** How long sessions were away after their pods were killed. */
export interface FailoverResult {
  /** From SIGKILL to the first answer that shows the session's file again, in milliseconds, by kill. */
  timesMs: number[]
  p50Ms: number
  p95Ms: number
  maxMs: number
  /** Answers other than 200 that the client got before that one. */
  failedAnswers: number
  /** Sessions that did not come back within a minute, or without their file. */
  lost: number
  commands: string[]
}

const PODS = 3
// The directory that all pods share; the store wants it to be there.
const STORE = 'store'
const RETRY_MS = 10
const GIVE_UP_MS = 60_000
// A pod promises that what a command wrote is in the store a second after the command's answer.
const DURABLE_AFTER_MS = 1500

/** Kills owners of sessions with SIGKILL, one after the other, with a gateway and pods in their default configuration. */
export async function runFailover(setting: Setting, kills: number): Promise<FailoverResult> {
  const fleet = await Fleet.start(setting)
  const timesMs: number[] = []
  let failedAnswers = 0
  let lost = 0
  for (let kill = 0; kill < kills; kill++) {
    const outcome = await fleet.killOwner(`proof-${kill}`)
    failedAnswers += outcome.failedAnswers
    if (outcome.timeMs === null) lost++
    else timesMs.push(outcome.timeMs)
  }
  const { commands } = fleet
  await fleet.close()
  const sorted = timesMs.toSorted((a, b) => a - b)
  const [p95Ms, maxMs] = [quantile(sorted, 0.95), sorted.at(-1) ?? Number.NaN]
  return { timesMs, p50Ms: median(sorted), p95Ms, maxMs, failedAnswers, lost, commands }
}

interface KillOutcome {
  timeMs: number | null
  failedAnswers: number
}

/** A gateway and its pods. */
class Fleet {
  readonly #setting: Setting
  readonly #redisUrl: string
  readonly #gateway: Child
  readonly #client: Pool
  readonly #pods = new Set<Child>()

  constructor(setting: Setting, parts: { redisUrl: string; gateway: Child; url: URL }) {
    this.#setting = setting
    this.#redisUrl = parts.redisUrl
    this.#gateway = parts.gateway
    this.#client = new Pool(parts.url.origin, { connections: 4, headersTimeout: GIVE_UP_MS })
  }

  static async start(setting: Setting): Promise<Fleet> {
    mkdirSync(setting.path(STORE))
    const redisUrl = await startRedis(setting)
    await settleRegistry(redisUrl)
    const flags = ['--host', '127.0.0.1', '--port', '0', '--admin-port', '0', '--allow-loopback-members']
    const command = fairleadCommand('gateway', ...flags, '--redis-url', redisUrl)
    const gateway = setting.start({ name: 'failover-gateway', command, place: 'subject' })
    const url = await gateway.until(() => listeningUrl(gateway.output()))
    const fleet = new Fleet(setting, { redisUrl, gateway, url })
    for (let count = 0; count < PODS; count++) await fleet.#startPod()
    return fleet
  }

  get commands(): string[] {
    return [this.#gateway, ...this.#pods].map(child => child.command.join(' '))
  }

  async close(): Promise<void> {
    await this.#client.destroy()
    for (const child of [this.#gateway, ...this.#pods]) await this.#setting.stop(child)
  }

  async #startPod(): Promise<void> {
    const directory = this.#setting.path(`pod-${performance.now()}`)
    const where = ['--host', '127.0.0.1', '--port', '0', '--redis-url', this.#redisUrl]
    const storage = ['--data-directory', directory, '--store', `fs:${this.#setting.path(STORE)}`]
    const command = fairleadCommand('pod', ...where, ...storage)
    const pod = this.#setting.start({ name: 'pod', command, place: 'load' })
    await pod.until(() => listeningUrl(pod.output()))
    this.#pods.add(pod)
  }

  /** Makes a session with a file in it, kills its owner, and asks for the file until it is there again. */
  async killOwner(proof: string): Promise<KillOutcome> {
    const id = await this.#createSession()
    await this.#writeFile(id, proof)
    const owner = await this.#ownerOf(id)
    const startedAtMs = performance.now()
    process.kill(owner.pid, 'SIGKILL')
    const outcome = await this.#awaitFile({ id, proof, startedAtMs })
    await this.#setting.stop(owner)
    this.#pods.delete(owner)
    // Throws unless a living pod owns it: an answer that the dying one still gave would be no failover.
    if (outcome.timeMs !== null) await this.#ownerOf(id)
    await this.#startPod()
    return outcome
  }

  async #createSession(): Promise<string> {
    const answer = await this.#ask({ method: 'POST', path: '/agents/shell/instances', body: '{}' })
    return readField(answer, 'instanceId')
  }

  async #writeFile(id: string, proof: string): Promise<void> {
    const body = JSON.stringify({ command: `sh -c 'echo ${proof} > proof'` })
    await this.#ask({ method: 'POST', path: '/execute', body, id })
    await delay(DURABLE_AFTER_MS)
  }

  async #ownerOf(id: string): Promise<Child> {
    const answer = await this.#ask({ method: 'GET', path: `/instances/${id}` })
    const { owner } = JSON.parse(answer.text) as { owner?: { pid?: number } | null }
    const pod = [...this.#pods].find(candidate => candidate.pid === owner?.pid)
    if (pod === undefined) throw new Error(`no pod of ours owns the session: ${answer.text}`)
    return pod
  }

  async #awaitFile({
    id,
    proof,
    startedAtMs
  }: {
    id: string
    proof: string
    startedAtMs: number
  }): Promise<KillOutcome> {
    let failedAnswers = 0
    while (performance.now() - startedAtMs < GIVE_UP_MS) {
      const { status, text } = await this.#request({ method: 'GET', path: '/download/proof', id })
      if (status === 200)
        return { timeMs: text.trim() === proof ? performance.now() - startedAtMs : null, failedAnswers }
      failedAnswers++
      await delay(RETRY_MS)
    }
    return { timeMs: null, failedAnswers }
  }

  /** A request that must succeed. */
  async #ask(request: Request): Promise<Answer> {
    const answer = await this.#request(request)
    if (answer.status < 200 || answer.status > 299)
      throw new Error(`${request.method} ${request.path}: ${answer.status} ${answer.text.slice(0, 500)}`)
    return answer
  }

  async #request({ method, path, body, id }: Request): Promise<Answer> {
    const headers = { 'content-type': 'application/json', ...(id === undefined ? {} : { 'x-sandbox-id': id }) }
    const response = await this.#client.request({ method, path, headers, body: body ?? null })
    return { status: response.statusCode, text: await response.body.text() }
  }
}

interface Request {
  method: 'GET' | 'POST'
  path: string
  body?: string
  /** Session of a header-routed request. */
  id?: string
}

interface Answer {
  status: number
  text: string
}

function readField({ text }: Answer, name: string): string {
  const value = (JSON.parse(text) as Record<string, unknown>)[name]
  if (typeof value !== 'string') throw new Error(`the answer has no ${name}: ${text}`)
  return value
}
