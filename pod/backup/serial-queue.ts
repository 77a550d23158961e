/** Runs pieces of work one after the other, in the order in which they came; a failed one does not stop the next. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs the work after all that came before; settles as the work does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work, work)
    this.#last = next.catch(() => undefined)
    return next
  }

  /** Settles once everything that has come until now has ended; never fails. */
  async idle(): Promise<void> {
    await this.#last
  }
}
