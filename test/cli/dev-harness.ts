import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { isAlive, runCli, startCli } from './run-cli.ts'

/** What `fairlead dev --json` says when it is ready. */
export interface ReadyEvent {
  event: 'ready'
  url: string
  adminUrl: string
  redisUrl: string
  data: string
  pods: { name: string; url: string; pid: number }[]
}

/** A real `fairlead dev` on free ports. It is killed at the end of the test if it still runs. */
export class Dev {
  readonly child: ChildProcess
  readonly events: Record<string, unknown>[] = []
  stderr = ''
  readonly #exit: Promise<unknown[]>
  readonly #waiting = new Set<() => void>()

  constructor(t: Test, args: readonly string[] = []) {
    this.child = startCli(['dev', '--json', '--port', '0', '--admin-port', '0', ...args])
    this.#exit = once(this.child, 'exit')
    this.child.stderr?.on('data', chunk => (this.stderr += String(chunk)))
    if (this.child.stdout !== null) createInterface({ input: this.child.stdout }).on('line', line => this.#take(line))
    t.teardown(async () => {
      if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM')
      await this.#exit
    })
  }

  /** Waits for an event by its name (and the name of the child that it is about). */
  async event(name: string, child?: string): Promise<Record<string, unknown>> {
    for (;;) {
      const found = this.events.find(
        event => event['event'] === name && (child === undefined || event['name'] === child)
      )
      if (found !== undefined) return found
      await Promise.race([new Promise<void>(resolve => this.#waiting.add(resolve)), this.#failed()])
    }
  }

  async ready(): Promise<ReadyEvent> {
    return (await this.event('ready')) as unknown as ReadyEvent
  }

  async exit(): Promise<[code: number | null, signal: string | null]> {
    return (await this.#exit) as [number | null, string | null]
  }

  /** Runs another `fairlead` command against this gateway. */
  async cli(ready: ReadyEvent, ...args: string[]) {
    return runCli(args, { FAIRLEAD_URL: ready.url, FAIRLEAD_ADMIN_URL: ready.adminUrl })
  }

  async #failed(): Promise<never> {
    const [code, signal] = await this.exit()
    throw new Error(`fairlead dev ended (${code ?? signal}): ${this.stderr}`)
  }

  #take(line: string): void {
    this.events.push(JSON.parse(line) as Record<string, unknown>)
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

/** Pids of all processes below one, found by their parents in /proc. */
export async function descendants(pid: number): Promise<number[]> {
  const parents = new Map<number, number>()
  for (const name of (await readdir('/proc')).filter(entry => /^\d+$/.test(entry))) {
    // A process that ended meanwhile is nobody's child any more.
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
    const parent = /\) \S (\d+) /.exec(stat)?.[1]
    if (parent !== undefined) parents.set(Number(name), Number(parent))
  }
  const below = (ancestor: number): number[] =>
    [...parents].filter(([, parent]) => parent === ancestor).flatMap(([child]) => [child, ...below(child)])
  return below(pid)
}

/** Waits until none of these processes is there any more; false if that takes longer than `limitMs`. */
export async function allGone(pids: readonly number[], limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs
  while (performance.now() < deadline) {
    const alive = await Promise.all(pids.map(isAlive))
    if (!alive.includes(true)) return true
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return false
}
