import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const CLI = fileURLToPath(new URL('../cli/bin.js', import.meta.url))
const STOP_TIMEOUT_MS = 15_000

/** One JSON line of `fairlead dev --json`. */
export type DevEvent = Readonly<Record<string, unknown>> & { readonly event: string }

/** A `fairlead dev` of our own, on free ports, with its data in a temporary directory. */
export class DevProcess {
  /** Its data directory; it stays after the end, for whoever wants the logs. */
  readonly data = mkdtempSync(join(tmpdir(), 'fairlead-demo-'))
  readonly events: DevEvent[] = []
  #child: ChildProcess | undefined

  /** Starts it and resolves with its `ready` event. */
  async start(): Promise<DevEvent> {
    const args = [CLI, 'dev', '--json', '--port', '0', '--admin-port', '0', '--data', this.data]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], detached: true })
    this.#child = child
    const ended = once(child, 'exit').then(([code]) => {
      throw new Error(`fairlead dev ended with ${code} before it was ready`)
    })
    return Promise.race([this.#firstEvent(child), ended])
  }

  /** Ends it as Ctrl-C would and resolves with its exit code; null if it had to be killed. Idempotent. */
  async stop(): Promise<number | null> {
    const child = this.#child
    if (child === undefined) return null
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    child.kill('SIGINT')
    const timer = setTimeout(() => this.kill(), STOP_TIMEOUT_MS)
    await once(child, 'exit')
    clearTimeout(timer)
    return child.exitCode
  }

  /** Kills it; its children end by themselves when it is gone. */
  kill(): void {
    this.#child?.kill('SIGKILL')
  }

  async #firstEvent(child: ChildProcess): Promise<DevEvent> {
    const { promise, resolve } = Promise.withResolvers<DevEvent>()
    if (child.stdout === null) throw new Error('no stdout')
    createInterface({ input: child.stdout }).on('line', line => {
      const event = JSON.parse(line) as DevEvent
      this.events.push(event)
      if (event.event === 'ready') resolve(event)
    })
    return promise
  }
}
