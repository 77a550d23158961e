import { decideRetry, dialDelayMs } from '../failover/retry-decision.ts'
import { codeOf } from './session-finder.ts'
import type { Logger } from '../../lib/log.ts'
import type { ErrorCode } from '../errors.ts'
import type { RetryDecision } from '../failover/retry-decision.ts'
import type { Mover } from '../failover/mover.ts'
import type { Exchange } from '../http/exchange.ts'
import type { UpstreamFailure } from '../http/resolver.ts'
import type { SessionEntry } from '../registry/registry.ts'
import type { RequestContext } from './request-context.ts'
import type { SessionFinder } from './session-finder.ts'

/** Carries out what `decideRetry` says. */
export class Retrier {
  readonly #finder: SessionFinder
  readonly #mover: Mover
  readonly #log: Logger

  constructor(options: { finder: SessionFinder; mover: Mover; log: Logger }) {
    this.#finder = options.finder
    this.#mover = options.mover
    this.#log = options.log
  }

  /** Where a request goes whose attempt at `entry` failed, or the error for its client. A request that cannot be sent again is answered at once; what its failure says about the pod is followed up all the same. */
  async next(entry: SessionEntry, request: FailedRequest): Promise<SessionEntry | ErrorCode> {
    const { context, exchange, failure } = request
    const decision = decideRetry(failure, context)
    if (decision.step === 'give-up') return decision.code
    if (!failure.replayable) {
      void this.#perform(decision, entry, context).catch(error => this.#reportBackground(error, entry))
      return decision.code
    }
    count(decision, failure, context)
    const found = await this.#finder.hold(context, exchange, () => this.#perform(decision, entry, context))
    return found === 'hold-timeout' ? decision.code : found
  }

  async #perform(decision: RetryDecision, entry: SessionEntry, context: RequestContext): Promise<SessionEntry | null> {
    switch (decision.step) {
      case 'look-again':
      case 'wait':
        return await this.#mover.relocate(entry, decision.delayMs)
      case 'dial-again':
        await this.#mover.pause(decision.delayMs)
        return entry.member.live ? entry : await this.#mover.relocate(entry, 0)
      case 'prove-death':
        return await this.#proveDeath(entry, context)
      case 'give-up':
        return entry
    }
  }

  async #proveDeath(entry: SessionEntry, context: RequestContext): Promise<SessionEntry | null> {
    const result = await this.#mover.proveDeath(entry.member)
    if (result === 'refused') return await this.#mover.relocate(entry, 0)
    await this.#mover.pause(dialDelayMs(Math.max(0, context.dials - 1)))
    return entry.member.live ? entry : await this.#mover.relocate(entry, 0)
  }

  #reportBackground(error: unknown, entry: SessionEntry): void {
    const { id } = entry.record
    try {
      this.#log.debug({ session: id, code: codeOf(error) }, 'could not follow up a failed request')
    } catch (unforeseen) {
      this.#log.error({ session: id, err: unforeseen }, 'could not follow up a failed request')
    }
  }
}

/** A request whose latest attempt failed. */
export interface FailedRequest {
  readonly context: RequestContext
  readonly exchange: Exchange
  readonly failure: UpstreamFailure
}

function count({ step }: RetryDecision, failure: UpstreamFailure, context: RequestContext): void {
  if (step === 'look-again') context.looks++
  else if (step === 'wait') context.waits++
  else if (failure.unsent) context.dials++
  else context.replays++
}
