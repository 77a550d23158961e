import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child, type ChildOptions } from './child.ts'
import { allowedProcessors } from './process-stat.ts'

/** Where a child runs: `subject` is the processor that the proxy under test has for itself, `load` the one of everything else. */
export type Place = 'subject' | 'load'

/** What a run lives in: a temporary directory, two processors, and the children. Whatever happens, `close` ends them all. */
export class Setting {
  readonly directory: string
  readonly processors: Readonly<Record<Place, number>>
  readonly #keep: boolean
  readonly #children = new Set<Child>()
  #childCount = 0

  /** Makes the directory, which `keep` leaves behind; throws where fewer than two processors may be used. */
  constructor({ keep }: { keep: boolean }) {
    this.#keep = keep
    const [subject, load] = allowedProcessors()
    if (subject === undefined || load === undefined)
      throw new Error('the benchmark needs two processors: one for the proxy, one for load and backend')
    this.processors = { subject, load }
    this.directory = mkdtempSync(join(tmpdir(), 'fairlead-bench-'))
  }

  /** Starts a child; a number makes its name unique. */
  start(options: Omit<ChildOptions, 'directory' | 'processor'> & { place: Place }): Child {
    const { place, ...rest } = options
    const name = `${options.name}-${++this.#childCount}`
    const child = new Child({ ...rest, name, directory: this.directory, processor: this.processors[place] })
    this.#children.add(child)
    return child
  }

  /** A path in the temporary directory. */
  path(name: string): string {
    return join(this.directory, name)
  }

  /** Ends a child and forgets it. */
  async stop(child: Child): Promise<void> {
    await child.stop()
    this.#children.delete(child)
  }

  /** Ends all children and removes the directory. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#children].map(child => this.stop(child)))
    this.#removeDirectory()
  }

  /** The same, at once and without waiting; for the end of the process. Idempotent. */
  closeNow(): void {
    for (const child of this.#children) child.kill()
    this.#children.clear()
    this.#removeDirectory()
  }

  #removeDirectory(): void {
    if (!this.#keep) rmSync(this.directory, { recursive: true, force: true })
  }
}
