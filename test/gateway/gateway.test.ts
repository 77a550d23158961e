import t from 'tap'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newBootId } from '../../lib/ids.ts'
import { System, send, until } from './fixtures/system.ts'

interface Line {
  outcome: string
  status: number
  session: string | null
  member: string | null
  route: string
  path: string
}

t.test('every request leaves one line and one count, whatever became of it', async t => {
  const s = await System.start()
  t.teardown(() => s.close())
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-log-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const path = join(directory, 'access.log')
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway({ accessLog: true, accessLogPath: path })
  const id = await s.create(gateway, 'mine')
  await send(gateway.url, { path: '/execute?token=secret', method: 'POST', body: 'x', headers: { 'X-Sandbox-ID': id } })
  await send(gateway.url, { path: `/instances/${id}/messages` })
  await send(gateway.url, { path: '/instances/nobody/chat' })
  await send(gateway.url, { headers: { 'X-Sandbox-ID': 'NO' } })
  await send(gateway.url, { path: '/healthz' })
  pod.owned = (_, response) => {
    response.destroy()
    return true
  }
  await send(gateway.url, { method: 'POST', body: 'x', headers: { 'X-Sandbox-ID': id } })
  const expected = [
    { route: 'management', status: 201, outcome: 'ok', session: null, member: null, path: '/agents/shell/instances' },
    { route: 'sandbox', status: 200, outcome: 'ok', session: id, member: 'pod-a', path: '/execute' },
    { route: 'instance', status: 200, outcome: 'ok', session: id, member: 'pod-a', path: `/instances/${id}/messages` },
    { route: 'instance', status: 404, outcome: 'session-unknown', session: 'nobody', member: null },
    { route: 'sandbox', status: 400, outcome: 'sandbox-id-invalid', session: null, member: null },
    { route: 'none', status: 200, outcome: 'ok', session: null, path: '/healthz' },
    { route: 'sandbox', status: 502, outcome: 'backend-lost', session: id, member: 'pod-a' }
  ]
  const read = async () => (await readFile(path, 'utf8')).split('\n').filter(Boolean)
  await until(async () => (await read()).length >= expected.length)
  const lines = (await read()).map(line => JSON.parse(line) as Line)
  t.match(lines, expected)
  t.equal(lines.length, expected.length)
  const metrics = (await send(gateway.adminUrl, { path: '/metrics' })).text
  for (const { route, status, outcome } of expected) {
    const labels = `route="${route}",status="${String(status)[0]}xx",outcome="${outcome}"`
    t.match(metrics, `fairlead_gateway_requests_total{${labels}} 1`)
  }
  for (const secret of [id, 'pod-a', 'secret']) t.notOk(metrics.includes(secret), `no ${secret} in the metrics`)
  t.notOk((await readFile(path, 'utf8')).includes('secret'))
})

t.test('an address from Redis that must not be dialled makes no member', async t => {
  const s = await System.start()
  t.teardown(() => s.close())
  await s.pod('pod-good')
  const addresses = ['169.254.169.254:80', 'http://:5007', '0.0.0.0:80', '[fe80::1]:80', '10.0.0.1:0', '127.0.0.1']
  for (const [index, address] of addresses.entries()) {
    const member = {
      id: `pod-${index}`,
      bootId: newBootId(),
      address,
      load: 0,
      state: 'ready',
      pid: 1,
      agents: ['shell'],
      capacity: 0
    } as const
    await s.registry.heartbeat(member, { leaseMs: 30_000, first: true })
  }
  const gateway = await s.gateway()
  const ids = await Promise.all(Array.from({ length: 20 }, () => s.create(gateway)))
  t.equal(s.pods[0]?.sessions.size, ids.length)
  t.match(JSON.parse((await send(gateway.adminUrl, { path: '/members' })).text), [{ id: 'pod-good' }])
  const strict = await s.gateway({ allowLoopbackMembers: false }, 0)
  t.same(JSON.parse((await send(strict.adminUrl, { path: '/members' })).text), [], 'loopback only where it is allowed')
})
