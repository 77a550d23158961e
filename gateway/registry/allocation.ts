/** How a member is picked for a session. */
export type AllocationStrategy = 'round-robin' | 'least-loaded' | 'random'

/** A member as a picker sees it. */
export interface Candidate {
  readonly id: string
  /** Sessions that it has, and those that are on their way to it. */
  readonly used: number
}

/** The candidate after the one with id `after`, in the order of ids; candidates are sorted by id. Null where there are none. */
export function pickNext<T extends Candidate>(candidates: readonly T[], after: string): T | null {
  return candidates.find(candidate => candidate.id > after) ?? candidates[0] ?? null
}

/** The candidate with the fewest sessions; of equals, the one after `after` in the order of ids. Null where there are none. */
export function pickLeastLoaded<T extends Candidate>(candidates: readonly T[], after: string): T | null {
  let least = Infinity
  for (const { used } of candidates) least = Math.min(least, used)
  return pickNext(
    candidates.filter(({ used }) => used === least),
    after
  )
}

/** Any candidate, all equally likely; `random` is from 0 to below 1. Null where there are none. */
export function pickRandom<T extends Candidate>(candidates: readonly T[], random: number): T | null {
  return candidates[Math.floor(random * candidates.length)] ?? null
}

/** Most agents for which a cursor of its own is kept. */
const MAX_CURSORS = 1_000

/** Picks members by one strategy. Its cursors are its own, one per agent: nothing else that goes on moves them. */
export class Allocation {
  readonly #strategy: AllocationStrategy
  readonly #cursors = new Map<string, string>()

  constructor(strategy: AllocationStrategy) {
    this.#strategy = strategy
  }

  /** Picks for one session of `agent` among members that take it, sorted by id. */
  pick<T extends Candidate>(candidates: readonly T[], agent: string): T | null {
    const picked = this.#pick(candidates, this.#cursors.get(agent) ?? '')
    if (picked !== null) this.#move(agent, picked.id)
    return picked
  }

  #pick<T extends Candidate>(candidates: readonly T[], after: string): T | null {
    switch (this.#strategy) {
      case 'round-robin':
        return pickNext(candidates, after)
      case 'least-loaded':
        return pickLeastLoaded(candidates, after)
      case 'random':
        return pickRandom(candidates, Math.random())
    }
  }

  #move(agent: string, id: string): void {
    if (!this.#cursors.has(agent) && this.#cursors.size >= MAX_CURSORS) this.#cursors.clear()
    this.#cursors.set(agent, id)
  }
}
