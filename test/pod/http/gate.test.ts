import t from 'tap'

import { Gate } from '../../../pod/http/gate.ts'
import type { Lease } from '../../../pod/lease.ts'
import type { SessionManager } from '../../../pod/session/manager.ts'

/** A lease that is being asked for: what the heartbeat under way will say. */
function askedFor(verdict: boolean): { lease: Lease; answer: () => void } {
  const heartbeat = Promise.withResolvers<void>()
  let good = false
  const lease: Lease = {
    isGood: () => good,
    leftMs: () => (good ? 1000 : 0),
    mayWrite: () => good,
    settled: () => heartbeat.promise,
    term: 1
  }
  const answer = (): void => {
    good = verdict
    heartbeat.resolve()
  }
  return { lease, answer }
}

const noSessions = {} as SessionManager

for (const verdict of [true, false]) {
  t.test(`a request that ends while the lease is asked for waits for the verdict: ${verdict}`, async t => {
    const { lease, answer } = askedFor(verdict)
    const gate = new Gate({ lease, manager: noSessions })
    let opened: boolean | null = null
    const waiting = gate.opens().then(open => (opened = open))
    await Promise.resolve()
    t.equal(opened, null, 'not before')
    answer()
    t.equal(await waiting, verdict)
  })
}

t.test('a good lease needs no wait', async t => {
  const { lease, answer } = askedFor(true)
  answer()
  t.equal(await new Gate({ lease, manager: noSessions }).opens(), true)
})
