import type { Registry } from '../registry/registry.ts'

/** What `GET /instances/:id` says. */
export interface SessionExplanation {
  readonly instanceId: string
  readonly definitionId: string
  readonly status: 'started' | 'suspended'
  readonly epoch: number
  /** Unix time in milliseconds. */
  readonly createdAt: number
  /** Null where nobody owns it: the next request gives it an owner. */
  readonly owner: {
    readonly memberId: string
    readonly bootId: string
    readonly pid: number | null
    readonly address: string | null
  } | null
  readonly leaseLeftMs: number
  /** The owner's lease is live at that boot. */
  readonly ownerLive: boolean
}

/** Explains where a session is and why; null where there is none. Rejects with RegistryUnavailableError. */
export async function explainSession(registry: Registry, id: string): Promise<SessionExplanation | null> {
  const found = await registry.inspect(id)
  if (found === null) return null
  const { record, member, ownerLive, leaseLeftMs } = found
  return {
    instanceId: record.id,
    definitionId: record.agent,
    status: record.state === 'active' ? 'started' : 'suspended',
    epoch: record.epoch,
    createdAt: record.createdAt,
    owner:
      record.owner === ''
        ? null
        : {
            memberId: record.owner,
            bootId: record.bootId,
            pid: member?.pid ?? null,
            address: member?.address ?? null
          },
    leaseLeftMs,
    ownerLive
  }
}
