import t from 'tap'
import { registryProblems } from '../../lib/registry-options.ts'

const good = { redisUrl: 'redis://127.0.0.1:6379', leaseMs: 30_000, heartbeatMs: 10_000 }

t.test('the defaults are without problems', async t => {
  t.strictSame(registryProblems(good), [])
})

t.test('a heartbeat that leaves no room for a missed one is refused', async t => {
  t.strictSame(registryProblems({ ...good, heartbeatMs: 15_000 }), [])
  t.strictSame(registryProblems({ ...good, heartbeatMs: 15_001 }), [
    'heartbeat: expected at most half of the lease (30s), got 15001ms'
  ])
})

t.test('a URL that is no Redis URL is refused without showing its password', async t => {
  const [problem = ''] = registryProblems({ ...good, redisUrl: 'http://u:s3cret@h' })
  t.match(problem, /^redisUrl: .*expected redis:\/\//)
  t.notMatch(problem, 's3cret')
})
