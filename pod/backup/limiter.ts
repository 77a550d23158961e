/** Bounds how many pieces of work run at once; the rest wait in order of arrival. Never call `run` inside the work of the same limiter. */
export class Limiter {
  #free: number
  readonly #waiting: (() => void)[] = []

  /** @param slots how many may run at once, at least 1 */
  constructor(slots: number) {
    this.#free = slots
  }

  /** Runs the work once a slot is free and gives the slot back however it ends. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#take()
    try {
      return await work()
    } finally {
      this.#give()
    }
  }

  async #take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>(resolve => this.#waiting.push(resolve))
  }

  #give(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}

/** Works through the items with at most `workers` at once; the first failure stops the taking of further items and is thrown once all begun work has ended. */
export async function forEachParallel<T>(
  items: Iterable<T>,
  workers: number,
  work: (item: T) => Promise<void>
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const failures: unknown[] = []
  const worker = async () => {
    for (let next = iterator.next(); failures.length === 0 && next.done !== true; next = iterator.next()) {
      try {
        await work(next.value)
      } catch (error) {
        failures.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: workers }, worker))
  if (failures.length > 0) throw failures[0]
}
