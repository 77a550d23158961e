import t from 'tap'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { newBootId } from '../../../lib/ids.ts'
import { REFUSED_HEADER } from '../../../lib/protocol.ts'
import { Blackhole } from '../fixtures/blackhole.ts'
import { registryKeys } from '../../../lib/registry-schema.ts'
import { FakePod } from '../fixtures/fake-pod.ts'
import { System, send, until } from '../fixtures/system.ts'
import type { Echo } from '../fixtures/fake-pod.ts'
import type { Reply } from '../fixtures/system.ts'
import type { RunningGateway } from '../../../gateway/main.ts'

interface TestLike {
  teardown(run: () => Promise<void>): unknown
}

const echo = ({ text }: Reply) => JSON.parse(text) as Echo
const byId = (id: string) => ({ headers: { 'X-Sandbox-ID': id } })

async function system(t: TestLike): Promise<System> {
  const made = await System.start()
  t.teardown(() => made.close())
  return made
}

async function ownerOf(gateway: RunningGateway, id: string): Promise<string> {
  const { text } = await send(gateway.url, { path: `/instances/${id}` })
  return (JSON.parse(text) as { owner: { memberId: string } }).owner.memberId
}

async function metric(gateway: RunningGateway, line: string): Promise<number> {
  const { text } = await send(gateway.adminUrl, { path: '/metrics' })
  const found = text.split('\n').find(row => row.startsWith(`${line} `))
  return Number(found?.split(' ').at(-1) ?? 0)
}

t.test('a killed pod: its sessions answer on another within two seconds, not a lease later', async t => {
  const s = await system(t)
  const children = new Map([
    ['pod-a', await s.podProcess('pod-a')],
    ['pod-b', await s.podProcess('pod-b')]
  ])
  const gateway = await s.gateway()
  const ids = await Promise.all(Array.from({ length: 10 }, () => s.create(gateway)))
  const victim = await ownerOf(gateway, ids[0]!)
  const mine = []
  for (const id of ids) if ((await ownerOf(gateway, id)) === victim) mine.push(id)
  const child = children.get(victim)!
  child.kill('SIGKILL')
  await once(child, 'exit')
  const killedAtMs = performance.now()
  const replies = await Promise.all(mine.map(id => send(gateway.url, { method: 'POST', body: 'x', ...byId(id) })))
  const tookMs = performance.now() - killedAtMs
  t.ok(tookMs < 2000, `took ${Math.round(tookMs)} ms`)
  for (const reply of replies) t.match(echo(reply), { epoch: 2, body: 'x' })
  t.notOk(replies.some(reply => echo(reply).member === victim))
  t.equal(await metric(gateway, 'fairlead_gateway_revocations_total'), 1, 'one revocation, however many requests')
  t.equal(await metric(gateway, 'fairlead_gateway_probes_total{result="refused"}'), 1)
  const replays = await metric(gateway, 'fairlead_gateway_replays_total{reason="connect-refused"}')
  t.ok(replays >= 1 && replays <= mine.length, 'those that came after the revocation went to the heir at once')
})

t.test('a request in flight when its pod dies: repeated only where that is safe, else an explicit error', async t => {
  const s = await system(t)
  const [a, b] = [await s.pod('pod-a'), await s.pod('pod-b')]
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  const [owner, heir] = (await ownerOf(gateway, id)) === 'pod-a' ? [a, b] : [b, a]
  let hanging = 0
  owner.owned = () => ++hanging > 0
  const get = send(gateway.url, byId(id))
  const post = send(gateway.url, { method: 'POST', body: 'once', ...byId(id) })
  await until(() => hanging === 2)
  await owner.die()
  t.match(echo(await get), { member: heir.id, epoch: 2 })
  const lost = await post
  t.equal(lost.status, 502)
  t.match(JSON.parse(lost.text), { detail: /broke off/ })
  t.equal(heir.served, 1, 'the POST was not sent a second time')
  t.match(echo(await send(gateway.url, { method: 'POST', ...byId(id) })), { member: heir.id })
})

t.test('a request that kills its pod does not take down one pod after the other', async t => {
  const s = await system(t)
  const pods = ['a', 'b', 'c'].map(name => s.podProcess(`pod-${name}`))
  const children = await Promise.all(pods)
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  const reply = await send(gateway.url, { path: '/die', ...byId(id) })
  t.equal(reply.status, 502)
  const dead = () => children.filter(({ signalCode }) => signalCode === 'SIGKILL').length
  await until(() => dead() >= 2)
  t.equal(dead(), 2)
  t.equal((await send(gateway.url, byId(id))).status, 200)
})

t.test('a response that was cut short never looks complete', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  pod.owned = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write('{"type":"text-delta"}\n')
    setTimeout(() => response.destroy(), 20)
    return true
  }
  await t.rejects(send(gateway.url, byId(id)))
})

t.test('two gateways, one orphan: one owner', async t => {
  const s = await system(t)
  const [a, b] = [await s.pod('pod-a'), await s.pod('pod-b')]
  const c = await s.pod('pod-c')
  const gateways = [await s.gateway(), await s.gateway()]
  const ids = await Promise.all(Array.from({ length: 12 }, () => s.create(gateways[0]!)))
  for (const gateway of gateways) for (const id of ids) t.equal((await send(gateway.url, byId(id))).status, 200)
  await a.die()
  const replies = await Promise.all(
    ids.flatMap(id => gateways.map(async gateway => ({ id, served: echo(await send(gateway.url, byId(id))) })))
  )
  for (const id of ids) {
    const owners = replies.filter(reply => reply.id === id).map(({ served }) => `${served.member} ${served.epoch}`)
    t.equal(new Set(owners).size, 1, owners.join(', '))
    t.notMatch(owners[0]!, 'pod-a')
  }
  const held = [...b.sessions.keys(), ...c.sessions.keys()]
  t.equal(held.length, ids.length, 'no session is on two pods')
})

t.test('a pod that says "not mine" is believed: the gateway asks again and follows', async t => {
  const s = await system(t)
  const [a, b] = [await s.pod('pod-a'), await s.pod('pod-b')]
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  const owner = (await ownerOf(gateway, id)) === 'pod-a' ? a : b
  let refusals = 0
  owner.early = (request, response) => {
    if (request.headers['x-sandbox-id'] !== id || refusals++ > 1) return false
    response.writeHead(421, { [REFUSED_HEADER]: 'not-owner' }).end()
    return true
  }
  t.equal((await send(gateway.url, { method: 'POST', body: 'b', ...byId(id) })).status, 200)
  t.equal(refusals, 3)
})

t.test('what a pod writes into its refusal makes no time series of its own', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  let refusals = 0
  pod.early = (_, response) => {
    if (refusals++ > 1) return false
    response.writeHead(503, { [REFUSED_HEADER]: `reason-${refusals}` }).end()
    return true
  }
  t.equal((await send(gateway.url, { method: 'POST', body: 'b', ...byId(id) })).status, 200)
  t.equal(await metric(gateway, 'fairlead_gateway_replays_total{reason="refused"}'), 2)
})

t.test('a move that the gateway never heard of is found out by the pod that was left', async t => {
  const s = await system(t)
  const [a, b] = [await s.pod('pod-a'), await s.pod('pod-b')]
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  const [left, heir] = (await ownerOf(gateway, id)) === 'pod-a' ? [a, b] : [b, a]
  const redis = new Redis(s.redis.url)
  t.teardown(() => redis.disconnect())
  await redis.hset(registryKeys('{fairlead}').session(id), { owner: heir.id, bootId: heir.bootId, epoch: '2' })
  left.sessions.delete(id)
  const reply = await send(gateway.url, { method: 'POST', body: 'kept', ...byId(id) })
  t.match(echo(reply), { member: heir.id, epoch: 2, body: 'kept' })
  t.equal(left.refused, 1)
})

t.test('"not mine" for ever ends after six attempts', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  let refusals = 0
  pod.early = (_, response) => {
    refusals++
    response.writeHead(421, { [REFUSED_HEADER]: 'not-owner' }).end()
    return true
  }
  const reply = await send(gateway.url, { method: 'POST', body: 'x', path: `/instances/${id}/chat` })
  t.equal(refusals, 6)
  t.equal(reply.status, 503)
  t.equal(reply.headers['retry-after'], '1')
  t.match(JSON.parse(reply.text), { error: /moving to another pod/ })
  t.equal(reply.headers[REFUSED_HEADER], undefined)
})

t.test('a pod that restarted at the same address is not mistaken for the owner that it was', async t => {
  const s = await system(t)
  const before = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  t.equal(echo(await send(gateway.url, byId(id))).epoch, 1)
  await before.die()
  const after = new FakePod({ id: 'pod-a', redisUrl: s.redis.url })
  s.pods.push(after)
  await after.start(Number(before.address.split(':')[1]))
  const reply = await send(gateway.url, byId(id))
  t.match(echo(reply), { member: 'pod-a', epoch: 2 })
  t.equal(after.sessions.get(id), 2)
})

t.test('a fenced pod is waited for, and serves again when its lease is renewed', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  let isFenced = true
  pod.early = (_, response) => {
    if (isFenced) response.writeHead(503, { [REFUSED_HEADER]: 'fenced', 'Retry-After': '1' }).end()
    return isFenced
  }
  const reply = send(gateway.url, { method: 'POST', body: 'kept', ...byId(id) })
  await until(async () => (await metric(gateway, 'fairlead_gateway_held_requests')) === 1)
  isFenced = false
  t.match(echo(await reply), { body: 'kept', epoch: 1 })
})

t.test('a pod that stays fenced loses its sessions when its lease ends, and the held request goes on', async t => {
  const s = await system(t)
  const a = await s.pod('pod-a', { leaseMs: 1000 })
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  const b = await s.pod('pod-b')
  a.early = (_, response) => {
    response.writeHead(503, { [REFUSED_HEADER]: 'fenced' }).end()
    return true
  }
  a.stopBeating()
  const reply = await send(gateway.url, { method: 'POST', body: 'kept', ...byId(id) })
  t.match(echo(reply), { member: 'pod-b', epoch: 2, body: 'kept' })
  t.equal(b.sessions.get(id), 2)
})

t.test('a dial without an answer does not prove death: the session moves when the lease ends, not before', async t => {
  const s = await system(t)
  const hole = await Blackhole.open()
  t.teardown(() => hole.close())
  const silent = {
    id: 'pod-a',
    bootId: newBootId(),
    address: `127.0.0.1:${hole.port}`,
    load: 0,
    state: 'ready',
    pid: 1,
    agents: ['shell'],
    capacity: 0
  } as const
  const leaseMs = 2500
  await s.registry.heartbeat(silent, { leaseMs, first: true })
  const leaseStartMs = performance.now()
  await s.registry.claim({ id: 'stuck', agent: 'shell' }, { member: silent, settleMs: 0 })
  await s.pod('pod-b')
  const gateway = await s.gateway({ connectTimeout: '200ms' })
  const reply = await send(gateway.url, { method: 'POST', body: 'kept', ...byId('stuck') })
  const tookMs = performance.now() - leaseStartMs
  t.match(echo(reply), { member: 'pod-b', epoch: 2, body: 'kept' })
  t.ok(tookMs > leaseMs && tookMs < leaseMs + 3000, `${Math.round(tookMs)} ms after the lease began`)
  t.equal(await metric(gateway, 'fairlead_gateway_revocations_total'), 0)
})

t.test("holding ends: 503 at our limit, 504 at the client's own", async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway({ holdTimeout: '300ms' })
  const id = await s.create(gateway)
  pod.early = (_, response) => {
    response.writeHead(503, { [REFUSED_HEADER]: 'fenced' }).end()
    return true
  }
  const ours = await send(gateway.url, byId(id))
  t.equal(ours.status, 503)
  t.equal(ours.headers['retry-after'], '1')
  const theirs = await send(gateway.url, { headers: { 'X-Sandbox-ID': id, 'X-Sandbox-Timeout': '0.2' } })
  t.equal(theirs.status, 504)
  t.equal(theirs.text, `{"detail":"Timed out waiting for the backend sandbox: ${id}"}`)
})

t.test('a full hold queue delays no healthy session, and refuses the rest at once', async t => {
  const s = await system(t)
  const [a, b] = [await s.pod('pod-a'), await s.pod('pod-b')]
  const gateway = await s.gateway({ maxHeldRequests: 5, holdTimeout: '3s' })
  const ids = await Promise.all(Array.from({ length: 8 }, () => s.create(gateway)))
  const sick = ids.find(id => a.sessions.has(id))!
  const other = await s.gateway()
  let unseen = await s.create(other)
  while (!b.sessions.has(unseen)) unseen = await s.create(other)
  const healthy = ids.filter(id => b.sessions.has(id))
  a.early = (_, response) => {
    response.writeHead(503, { [REFUSED_HEADER]: 'fenced' }).end()
    return true
  }
  const flood = Array.from({ length: 30 }, () => send(gateway.url, { method: 'POST', body: 'x', ...byId(sick) }))
  await until(async () => (await metric(gateway, 'fairlead_gateway_holds_total{queue="move",result="full"}')) >= 25)
  const startedAtMs = performance.now()
  const served = await Promise.all(healthy.map(id => send(gateway.url, byId(id))))
  const tookMs = performance.now() - startedAtMs
  for (const { status } of served) t.equal(status, 200)
  t.ok(tookMs < 500, `healthy sessions took ${Math.round(tookMs)} ms`)
  t.equal((await send(gateway.url, byId(unseen))).status, 200, 'a lookup needs no room among the held')
  const statuses = (await Promise.all(flood)).map(({ status }) => status)
  t.ok(
    statuses.every(status => status === 503),
    'nobody is left waiting'
  )
})

t.test('a client that leaves frees its place in the queue', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway({ maxHeldRequests: 1 })
  const id = await s.create(gateway)
  pod.early = (_, response) => {
    response.writeHead(503, { [REFUSED_HEADER]: 'fenced' }).end()
    return true
  }
  const abort = new AbortController()
  const left = send(gateway.url, { ...byId(id), signal: abort.signal })
  await until(async () => (await metric(gateway, 'fairlead_gateway_held_requests')) === 1)
  abort.abort()
  await t.rejects(left)
  await until(async () => (await metric(gateway, 'fairlead_gateway_held_requests')) === 0)
})

t.test('no pod is left: 503, and served as soon as one comes', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  await pod.die()
  const reply = await send(gateway.url, byId(id))
  t.equal(reply.status, 503)
  t.equal(reply.headers['retry-after'], '1')
  t.equal(JSON.parse(reply.text).detail, 'No pod is available, try again')
  await s.pod('pod-b')
  await until(async () => (await send(gateway.url, byId(id))).status === 200)
})

t.test('Redis away: known sessions go on, unknown ones are 503 and not 404', async t => {
  const s = await system(t)
  await s.pod('pod-a')
  const gateway = await s.gateway()
  const known = await s.create(gateway)
  t.equal((await send(gateway.url, byId('unknown'))).status, 404)
  await s.redis.kill()
  for (let i = 0; i < 3; i++) t.equal((await send(gateway.url, byId(known))).status, 200)
  const unknown = await send(gateway.url, byId('unknown'))
  t.equal(unknown.status, 503)
  t.equal(unknown.headers['retry-after'], '1')
  t.equal((await send(gateway.url, { path: `/instances/${known}` })).status, 503)
  t.equal((await send(gateway.url, { method: 'POST', path: '/agents/shell/instances' })).status, 503)
  t.equal((await send(gateway.adminUrl, { path: '/readyz' })).status, 200, 'still ready: known sessions work')
})
