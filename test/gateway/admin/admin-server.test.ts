import t from 'tap'
import { freePort } from '../../fixtures/redis-server.ts'
import { startGateway } from '../../../gateway/main.ts'
import { System, send, testConfig, until } from '../fixtures/system.ts'

interface TestLike {
  teardown(run: () => Promise<void>): unknown
}

async function system(t: TestLike): Promise<System> {
  const made = await System.start()
  t.teardown(() => made.close())
  return made
}

t.test('alive and ready are two things', async t => {
  const gateway = await startGateway(testConfig(`redis://127.0.0.1:${await freePort()}`))
  t.teardown(() => gateway.close())
  const health = await send(gateway.adminUrl, { path: '/healthz' })
  t.equal(health.status, 200)
  t.equal(health.text, '{"status":"ok"}')
  const ready = await send(gateway.adminUrl, { path: '/readyz' })
  t.equal(ready.status, 503)
  t.equal(ready.text, 'starting', 'the registry was never reached')
  const unknown = await send(gateway.url, { headers: { 'X-Sandbox-ID': 'abc' } })
  t.equal(unknown.status, 503, 'it serves all the same, and says that it does not know')
})

t.test('a gateway that drains says so before it closes anything', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  t.equal((await send(gateway.adminUrl, { path: '/readyz' })).text, 'ok')
  const finish = Promise.withResolvers<void>()
  pod.owned = (_, response) => {
    void finish.promise.then(() => response.end('late'))
    return true
  }
  const running = send(gateway.url, { headers: { 'X-Sandbox-ID': id } })
  await until(async () =>
    (await send(gateway.adminUrl, { path: '/metrics' })).text.includes('fairlead_gateway_active_requests 1')
  )
  const closed = gateway.close()
  const ready = await send(gateway.adminUrl, { path: '/readyz' })
  t.equal(ready.status, 503)
  t.equal(ready.text, 'draining')
  await t.rejects(send(gateway.url, { path: '/healthz' }), { code: 'ECONNREFUSED' })
  finish.resolve()
  const reply = await running
  t.equal(reply.text, 'late', 'what runs may finish')
  t.equal(reply.headers.connection, 'close')
  await closed
  await t.rejects(send(gateway.adminUrl, { path: '/readyz' }), { code: 'ECONNREFUSED' })
  await gateway.close()
})

t.test('a drain ends, whatever still runs', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway({ shutdownTimeout: '200ms' })
  const id = await s.create(gateway)
  pod.owned = () => true
  const stuck = send(gateway.url, { headers: { 'X-Sandbox-ID': id } })
  stuck.catch(() => undefined)
  await until(async () =>
    (await send(gateway.adminUrl, { path: '/metrics' })).text.includes('fairlead_gateway_active_requests 1')
  )
  const startedAtMs = performance.now()
  await gateway.close()
  t.ok(performance.now() - startedAtMs < 2000)
  await t.rejects(stuck)
})

t.test('members and sessions are listed, sessions by pages', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const ids = await Promise.all(Array.from({ length: 25 }, () => s.create(gateway)))
  const members = JSON.parse((await send(gateway.adminUrl, { path: '/members' })).text) as object[]
  t.match(members, [
    { id: 'pod-a', bootId: pod.bootId, address: pod.address, state: 'ready', sessions: 25, agents: ['shell'] }
  ])
  const seen = new Set<string>()
  let cursor: string | null = ''
  let pages = 0
  while (cursor !== null && pages++ < 50) {
    const path: string = `/sessions?limit=10${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
    const reply = await send(gateway.adminUrl, { path })
    t.equal(reply.status, 200)
    const page = JSON.parse(reply.text) as { sessions: { id: string; epoch: number }[]; cursor: string | null }
    for (const { id } of page.sessions) seen.add(id)
    cursor = page.cursor
  }
  t.same([...seen].toSorted(), ids.toSorted())
  for (const query of ['limit=0', 'limit=x', 'limit=1001', 'limit=1.5']) {
    t.equal((await send(gateway.adminUrl, { path: `/sessions?${query}` })).status, 400, query)
  }
})

t.test('the admin listener is read-only and serves no client traffic', async t => {
  const s = await system(t)
  await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  t.equal((await send(gateway.adminUrl, { headers: { 'X-Sandbox-ID': id } })).status, 404)
  t.equal((await send(gateway.adminUrl, { path: `/instances/${id}` })).status, 404)
  t.equal((await send(gateway.adminUrl, { method: 'POST', path: '/metrics' })).status, 405)
  t.equal((await send(gateway.url, { path: '/metrics' })).status, 400, 'and clients cannot read metrics')
})

t.test('a port that is taken is an error, and nothing stays open', async t => {
  const s = await system(t)
  const gateway = await s.gateway()
  const port = Number(new URL(gateway.url).port)
  await t.rejects(startGateway(testConfig(s.redis.url, { port })), { code: 'EADDRINUSE' })
  const adminPort = Number(new URL(gateway.adminUrl).port)
  await t.rejects(startGateway(testConfig(s.redis.url, { adminPort })), { code: 'EADDRINUSE' })
})
