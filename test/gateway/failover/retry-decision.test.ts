import t from 'tap'
import { MAX_DIALS, MAX_LOOKS, decideRetry } from '../../../gateway/failover/retry-decision.ts'
import type { FailureFacts } from '../../../gateway/failover/retry-decision.ts'

const fresh = { looks: 0, dials: 0, replays: 0, waits: 0 }
const failure = (kind: FailureFacts['kind'], more: Partial<FailureFacts> = {}): FailureFacts => ({
  kind,
  refusal: '',
  unsent: false,
  ...more
})

t.test('"not mine" is followed at once, then ever slower, five times', async t => {
  const notOwner = failure('refused', { refusal: 'not-owner' })
  const delays = []
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    const decision = decideRetry(notOwner, { ...fresh, looks })
    t.equal(decision.step, 'look-again')
    delays.push(decision.delayMs)
  }
  t.same(delays, [0, 50, 100, 200, 400])
  t.match(decideRetry(notOwner, { ...fresh, looks: MAX_LOOKS }), { step: 'give-up', code: 'session-moving' })
})

t.test('a fenced pod is waited for, at most a second at a time', async t => {
  const fenced = failure('refused', { refusal: 'fenced' })
  t.match(decideRetry(fenced, fresh), { step: 'wait', delayMs: 100, code: 'hold-timeout' })
  t.match(decideRetry(fenced, { ...fresh, waits: 50 }), { step: 'wait', delayMs: 1000 })
})

t.test('a refused connection is checked, a timeout is only dialled again: it does not prove death', async t => {
  t.match(decideRetry(failure('connect-refused', { unsent: true }), fresh), {
    step: 'prove-death',
    code: 'backend-unreachable'
  })
  for (const kind of ['connect-timeout', 'connect-unreachable'] as const) {
    const delays = [0, 1, 2].map(dials => decideRetry(failure(kind, { unsent: true }), { ...fresh, dials }))
    t.match(
      delays,
      [200, 400, 800].map(delayMs => ({ step: 'dial-again', delayMs, code: 'backend-unreachable' }))
    )
    const later = decideRetry(failure(kind, { unsent: true }), { ...fresh, dials: MAX_DIALS })
    t.match(later, { step: 'wait', code: 'backend-unreachable' }, 'then only the end of the lease helps')
  }
})

t.test('refused dials end, whatever the probe says', async t => {
  t.match(decideRetry(failure('connect-refused', { unsent: true }), { ...fresh, dials: MAX_DIALS + 1 }), {
    step: 'give-up',
    code: 'backend-unreachable'
  })
})

t.test('a request that broke one pod gets one more pod, not all of them', async t => {
  for (const kind of ['reset', 'closed'] as const) {
    t.match(decideRetry(failure(kind), fresh), { step: 'prove-death', code: 'backend-lost' })
    t.match(decideRetry(failure(kind), { ...fresh, replays: 1 }), { step: 'give-up', code: 'backend-lost' })
  }
})

t.test('a full, slow or broken pod is an error at once', async t => {
  t.match(decideRetry(failure('saturated'), fresh), { step: 'give-up', code: 'backend-saturated' })
  t.match(decideRetry(failure('response-timeout'), fresh), { step: 'give-up', code: 'backend-timeout' })
  t.match(decideRetry(failure('bad-response'), fresh), { step: 'give-up', code: 'backend-invalid' })
})
