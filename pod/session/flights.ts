/** Work that at most one does per id at a time; whoever comes meanwhile waits for the same. Nobody who leaves cancels it. */
export class Flights<T> {
  readonly #flights = new Map<string, { readonly key: string; readonly done: Promise<T> }>()

  /** Joins the work under way for `id` if it has the same `key`; else waits until that has ended, however, and does its own. */
  async run(id: string, options: { key: string; work: () => Promise<T> }): Promise<T> {
    for (let other = this.#flights.get(id); other !== undefined; other = this.#flights.get(id)) {
      if (other.key === options.key) return other.done
      await other.done.catch(() => undefined)
    }
    const done = options.work().finally(() => this.#flights.delete(id))
    this.#flights.set(id, { key: options.key, done })
    return done
  }

  /** True while something is under way for that id. */
  has(id: string): boolean {
    return this.#flights.has(id)
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#flights.values()].map(flight => flight.done))
  }
}
