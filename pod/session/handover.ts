import { errorText } from '../../lib/errors.ts'
import { Limiter } from '../backup/limiter.ts'
import { notOwner, sessionMoved } from '../errors.ts'
import type { SessionSurroundings } from './session-factory.ts'
import type { SessionTable } from './session-table.ts'
import type { Session } from './session.ts'

/** Bounds of a drain. */
export interface HandoverLimits {
  /** How long running requests may go on. */
  readonly requestsMs: number
  /** How long one final backup may take after that. */
  readonly saveMs: number
  /** Final backups at once. */
  readonly parallel: number
}

/**
 * Gives every session of a draining pod away: waits until nobody uses it (at most `requestsMs`), backs it up a last time and
 * makes it an orphan, which the next request moves to another pod. A session that cannot be saved is given away all the same,
 * as it was saved last. Its files stay on this disk, in case that this pod comes back and gets it again.
 */
export async function handOverAll(
  table: SessionTable,
  options: { around: SessionSurroundings; limits: HandoverLimits }
): Promise<void> {
  const deadline = new Deadline(options.limits.requestsMs)
  const slots = new Limiter(options.limits.parallel)
  const handOver = (session: Session): Promise<void> => handOverOne(session, { ...options, table, deadline, slots })
  await Promise.all(table.held().map(handOver))
  deadline.close()
}

async function handOverOne(
  session: Session,
  options: {
    around: SessionSurroundings
    limits: HandoverLimits
    table: SessionTable
    deadline: Deadline
    slots: Limiter
  }
): Promise<void> {
  const { around, limits, table, deadline, slots } = options
  const last = (): Promise<void> => slots.run(() => saveAndRelease(session, { around, saveMs: limits.saveMs }))
  try {
    // Asked again after each wait, and without one before the end: no request may slip in between.
    while (session.isUsed && !deadline.isOver) await Promise.race([session.unused(), deadline.over])
    await session.end({ abortWith: sessionMoved(session.id), refuseWith: notOwner(session.id), last })
  } catch (error) {
    around.log.error({ session: session.id, reason: errorText(error) }, 'cannot hand session over')
  } finally {
    table.remove(session)
  }
}

async function saveAndRelease(
  session: Session,
  options: { around: SessionSurroundings; saveMs: number }
): Promise<void> {
  const { registry, log } = options.around
  const deadline = new Deadline(options.saveMs, 'the last backup took too long')
  try {
    await Promise.race([session.saves.saveNow(), deadline.over])
  } catch (error) {
    log.error(
      { session: session.id, reason: errorText(error) },
      'last backup failed: what changed since the one before is lost'
    )
  } finally {
    deadline.close()
  }
  const status = await registry.release(session)
  log.info({ session: session.id, epoch: session.epoch, status }, 'session handed over')
}

/** A point in time to race against; rejects at it where it has a message, resolves otherwise. */
class Deadline {
  readonly over: Promise<void>
  isOver = false
  #timer: NodeJS.Timeout | undefined

  constructor(limitMs: number, message?: string) {
    this.over = new Promise<void>((resolve, reject) => {
      this.#timer = setTimeout(() => {
        this.isOver = true
        if (message === undefined) resolve()
        else reject(new Error(message))
      }, limitMs)
    })
    this.over.catch(() => undefined)
  }

  close(): void {
    clearTimeout(this.#timer)
  }
}
