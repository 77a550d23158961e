import { isDnsLabel } from '../../lib/ids.ts'
import { codeOf } from '../request/session-finder.ts'
import { SessionTakenError } from '../registry/errors.ts'
import { isObject, parseJson } from './http-io.ts'
import type { Logger } from '../../lib/log.ts'
import type { ErrorCode } from '../errors.ts'
import type { Mover } from '../failover/mover.ts'
import type { GatewayMetrics, PlacementResult } from '../metrics.ts'
import type { Registry, SessionEntry } from '../registry/registry.ts'
import type { MemberAnswer, MemberClient, MemberFault } from './member-client.ts'

/** What a creator works with; times in milliseconds. */
export interface SessionCreatorOptions {
  readonly registry: Registry
  readonly mover: Mover
  readonly client: MemberClient
  readonly metrics: GatewayMetrics
  readonly createTimeoutMs: number
  readonly log: Logger
}

/** What came of it: the pod's answer, or an error of the gateway's own. */
export type Creation =
  | { readonly answer: MemberAnswer; readonly id: string }
  | { readonly code: ErrorCode; readonly id: string }

/** Pods that one creation tries: one that dies or drains just then costs a step, and so does a store that knows a higher epoch. */
const MAX_ATTEMPTS = 5
const CLEANUP_TIMEOUT_MS = 2_000

interface Wish {
  readonly agent: string
  /** The definition's segment of the path, as the client sent it. */
  readonly path: string
  readonly body: Record<string, unknown>
  readonly id: string | undefined
}

type Attempt =
  | Creation
  | { readonly again: true; readonly code: ErrorCode; readonly id: string; readonly minEpoch?: number }

/** Creates sessions: claims the id in the registry for a picked pod, then has that pod create it; what fails half-way is taken back. */
export class SessionCreator {
  readonly #options: SessionCreatorOptions

  constructor(options: SessionCreatorOptions) {
    this.#options = options
  }

  /** Creates a session of an agent definition. The body's `instanceId` chooses the id; the rest of the body goes to the pod. */
  async create(wish: { agent: string; path: string; body: Record<string, unknown> }): Promise<Creation> {
    const { instanceId } = wish.body
    if (instanceId !== undefined && (typeof instanceId !== 'string' || !isDnsLabel(instanceId))) {
      return { code: 'instance-id-invalid', id: '' }
    }
    const creation = await this.#tryPods({ ...wish, id: instanceId })
    this.#options.metrics.placed(resultOf(creation))
    return creation
  }

  async #tryPods(wish: Wish): Promise<Creation> {
    let minEpoch = 1
    let attempt = await this.#attempt(wish, minEpoch)
    for (let tries = 1; 'again' in attempt && tries < MAX_ATTEMPTS; tries++) {
      minEpoch = Math.max(minEpoch, attempt.minEpoch ?? 1)
      attempt = await this.#attempt(wish, minEpoch)
    }
    return 'again' in attempt ? { code: attempt.code, id: attempt.id } : attempt
  }

  async #attempt(wish: Wish, minEpoch: number): Promise<Attempt> {
    let entry: SessionEntry
    try {
      entry = await this.#options.registry.place(wish.agent, wish.id, { minEpoch })
    } catch (error) {
      const code = error instanceof SessionTakenError ? 'session-taken' : codeOf(error)
      return { code, id: wish.id ?? '' }
    }
    return await this.#askPod(wish, entry)
  }

  async #askPod(wish: Wish, entry: SessionEntry): Promise<Attempt> {
    const { client, createTimeoutMs } = this.#options
    const body = JSON.stringify({ ...wish.body, instanceId: entry.record.id })
    const options = { method: 'POST', timeoutMs: createTimeoutMs, session: entry, body } as const
    const result = await client.ask(entry.member, { ...options, path: `/agents/${wish.path}/instances` })
    if ('fault' in result) return await this.#afterFault(entry, result.fault)
    return await this.#afterAnswer(entry, result.answer)
  }

  async #afterAnswer(entry: SessionEntry, answer: MemberAnswer): Promise<Attempt> {
    const { id } = entry.record
    if (answer.status >= 200 && answer.status < 300) {
      this.#options.log.info({ session: id, member: entry.member.id, epoch: entry.record.epoch }, 'session created')
      return { answer, id }
    }
    await this.#takeBack(entry)
    if (answer.refusal !== '') return { again: true, code: 'no-member', id }
    const storeEpoch = answer.status === 409 ? storeEpochOf(answer.text) : null
    if (storeEpoch !== null) return { again: true, code: 'session-taken', id, minEpoch: storeEpoch + 1 }
    return answer.status === 404 ? { code: 'agent-unknown', id } : { answer, id }
  }

  async #afterFault(entry: SessionEntry, fault: MemberFault): Promise<Attempt> {
    const { id } = entry.record
    const probed = await this.#proveDeath(entry)
    // A pod that lives may have created it although no answer came.
    if (fault === 'lost' && probed !== 'refused') {
      const path = `/instances/${id}`
      await this.#options.client.ask(entry.member, {
        method: 'DELETE',
        path,
        timeoutMs: CLEANUP_TIMEOUT_MS,
        session: entry
      })
    }
    await this.#takeBack(entry)
    if (probed === 'refused') return { again: true, code: 'no-member', id }
    return fault === 'lost' ? { code: 'backend-lost', id } : { again: true, code: 'backend-unreachable', id }
  }

  async #proveDeath(entry: SessionEntry): Promise<string> {
    try {
      return await this.#options.mover.proveDeath(entry.member)
    } catch (error) {
      this.#options.log.warn({ member: entry.member.id, err: error }, 'could not revoke the lease of a dead pod')
      return 'unknown'
    }
  }

  async #takeBack(entry: SessionEntry): Promise<void> {
    try {
      await this.#options.registry.unplace(entry)
    } catch (error) {
      this.#options.log.warn(
        { session: entry.record.id, err: error },
        'a claim could not be taken back: its id stays taken'
      )
    }
  }
}

/** The epoch in a pod's answer that its store holds a newer backup of that id; null where the answer says something else. */
function storeEpochOf(text: string): number | null {
  const value = parseJson(text)
  if (!isObject(value) || value['code'] !== 'epoch-behind') return null
  const { storeEpoch } = value
  return typeof storeEpoch === 'number' && Number.isSafeInteger(storeEpoch) && storeEpoch > 0 ? storeEpoch : null
}

function resultOf(creation: Creation): PlacementResult {
  if ('answer' in creation) return creation.answer.status < 300 ? 'placed' : 'failed'
  if (creation.code === 'session-taken') return 'taken'
  return creation.code === 'no-member' ? 'no-member' : 'failed'
}
