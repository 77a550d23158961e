import { Gauge, Registry } from 'prom-client'
import type { Member } from './member.ts'
import type { SessionTable } from './session/session-table.ts'

/** The pod's metrics, in a registry of their own; no label names a session or a member. */
export class PodMetrics {
  readonly #registry = new Registry()

  constructor(options: { table: SessionTable; member: Member }) {
    const { table, member } = options
    const states = ['active', 'suspended'] as const
    this.#gauge('fairlead_pod_sessions', 'Sessions on this pod, by state', gauge => {
      const held = table.held()
      for (const state of states) gauge.set({ state }, held.filter(session => session.state === state).length)
    })
    this.#gauge('fairlead_pod_sessions_unsaved', 'Sessions with changes that no backup holds yet', gauge => {
      gauge.set(table.held().filter(session => session.saves.isDirty).length)
    })
    this.#gauge('fairlead_pod_lease_good', '1 while the pod holds its lease', gauge =>
      gauge.set(member.isGood() ? 1 : 0)
    )
  }

  async read(): Promise<{ text: string; contentType: string }> {
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType }
  }

  #gauge(name: string, help: string, collect: (gauge: Gauge<'state'>) => void): void {
    const gauge: Gauge<'state'> = new Gauge({
      name,
      help,
      labelNames: name.endsWith('_sessions') ? ['state'] : [],
      registers: [this.#registry],
      collect: () => collect(gauge)
    })
  }
}
