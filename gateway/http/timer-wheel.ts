/** Something with one deadline, kept in a `TimerWheel`. The fields belong to the wheel, apart from `deadline`. */
export interface Timed {
  /** Tick at which `expire` is due; 0 for never. */
  deadline: number
  /** Tick of the slot it is in; 0 where it is in none. */
  slot: number
  previous: Timed | null
  next: Timed | null
  /** The deadline has passed. It may set a new one. */
  expire(): void
}

const SLOTS = 1024

/**
 * Deadlines for many connections at the cost of one timer: a hashed wheel with a coarse tick.
 *
 * Moving a deadline later costs one assignment (the entry moves when its old slot comes round); moving it earlier costs
 * two list operations. A deadline fires up to two ticks late, later where the process was stalled, never early.
 */
export class TimerWheel {
  /** Length of a tick in milliseconds. */
  readonly tickMs: number
  /** The current tick, from 1. */
  now = 1
  readonly #slots: (Timed | null)[] = Array.from({ length: SLOTS }, () => null)
  #timer: NodeJS.Timeout | null = null

  constructor(tickMs: number) {
    this.tickMs = tickMs
  }

  /** Starts the clock; it does not keep the process alive. */
  start(): void {
    this.#timer ??= setInterval(() => this.#advance(), this.tickMs).unref()
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** Ticks for a duration, rounded up so that nothing expires early; 0 stays 0 (never). */
  ticks(durationMs: number): number {
    return durationMs <= 0 ? 0 : Math.ceil(durationMs / this.tickMs) + 1
  }

  /** Sets the deadline of an entry to an absolute tick; 0 means never. */
  set(entry: Timed, deadline: number): void {
    entry.deadline = deadline
    if (deadline === 0 || (entry.slot !== 0 && entry.slot <= deadline)) return
    if (entry.slot !== 0) this.#unlink(entry)
    this.#link(entry, deadline)
  }

  /** Forgets an entry. */
  remove(entry: Timed): void {
    entry.deadline = 0
    if (entry.slot !== 0) this.#unlink(entry)
  }

  #link(entry: Timed, tick: number): void {
    // A deadline beyond the wheel waits in the furthest slot and moves on from there.
    const slot = Math.min(Math.max(tick, this.now + 1), this.now + SLOTS - 1)
    entry.slot = slot
    const head = this.#slots[slot % SLOTS] ?? null
    entry.previous = null
    entry.next = head
    if (head !== null) head.previous = entry
    this.#slots[slot % SLOTS] = entry
  }

  #unlink(entry: Timed): void {
    if (entry.previous !== null) entry.previous.next = entry.next
    else this.#slots[entry.slot % SLOTS] = entry.next
    if (entry.next !== null) entry.next.previous = entry.previous
    entry.slot = 0
    entry.previous = entry.next = null
  }

  /** One tick a call, however late it is: time in which this process did not run does not count against its peers. */
  #advance(): void {
    this.now++
    this.#visit(this.now)
  }

  #visit(tick: number): void {
    let entry = this.#slots[tick % SLOTS] ?? null
    this.#slots[tick % SLOTS] = null
    const due: Timed[] = []
    while (entry !== null) {
      const next: Timed | null = entry.next
      entry.slot = 0
      entry.previous = entry.next = null
      if (entry.deadline > tick) this.#link(entry, entry.deadline)
      else if (entry.deadline !== 0) due.push(entry)
      entry = next
    }
    for (const late of due) {
      if (late.deadline === 0 || late.deadline > this.now) continue
      late.deadline = 0
      late.expire()
    }
  }
}
