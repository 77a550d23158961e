import t from 'tap'
import { MISSING_MEMBERS_HEADER, REFUSED_HEADER } from '../../../lib/protocol.ts'
import { Blackhole } from '../fixtures/blackhole.ts'
import { System, send, until } from '../fixtures/system.ts'
import type { Reply } from '../fixtures/system.ts'
import { newBootId } from '../../../lib/ids.ts'

interface TestLike {
  teardown(run: () => Promise<void>): unknown
}

async function system(t: TestLike): Promise<System> {
  const made = await System.start()
  t.teardown(() => made.close())
  return made
}

const parse = ({ text }: Reply): unknown => JSON.parse(text)
const POST = { method: 'POST', path: '/agents/shell/instances' }

for (const allocation of ['round-robin', 'least-loaded']) {
  t.test(`${allocation}: 1,000 creates over 4 pods are 250 each, whatever happens between`, async t => {
    const s = await system(t)
    for (const name of ['a', 'b', 'c', 'd']) await s.pod(`pod-${name}`)
    const gateway = await s.gateway({ allocation })
    let last = 'none'
    const create = async () => {
      last = await s.create(gateway)
      await send(gateway.url, { headers: { 'X-Sandbox-ID': last } })
      await send(gateway.url, { path: `/instances/unknown-${last}/chat` })
      if (last < 'c') await send(gateway.url, { path: '/agents/shell/instances' })
    }
    let left = 1000
    const worker = async () => {
      while (left-- > 0) await create()
    }
    await Promise.all(Array.from({ length: 8 }, worker))
    t.same(
      s.pods.map(pod => pod.sessions.size),
      [250, 250, 250, 250]
    )
  })
}

t.test('creating a session', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()

  t.test('without an id the gateway makes one that cannot be guessed', async t => {
    const reply = await send(gateway.url, POST)
    t.equal(reply.status, 201)
    t.match(parse(reply), { instanceId: /^[a-z2-7]{24}$/, definitionId: 'shell', status: 'started' })
  })

  t.test('a chosen id is used, and cannot be used twice', async t => {
    const body = '{"instanceId":"my-session"}'
    const first = await send(gateway.url, { ...POST, body })
    t.equal(first.status, 201)
    t.match(parse(first), { instanceId: 'my-session' })
    const second = await send(gateway.url, { ...POST, body })
    t.equal(second.status, 409)
    t.match(parse(second), { error: 'Instance already exists: my-session' })
  })

  t.test('what is not an id is refused before anything is claimed', async t => {
    for (const instanceId of ['A', 'a/b', '..', '-', '', 'a'.repeat(64), 7, null, {}]) {
      const reply = await send(gateway.url, { ...POST, body: JSON.stringify({ instanceId }) })
      t.equal(reply.status, 400, JSON.stringify(instanceId))
      t.type((parse(reply) as { error: string }).error, 'string')
    }
    for (const body of ['[]', '"x"', '{', 'null'])
      t.equal((await send(gateway.url, { ...POST, body })).status, 400, body)
    t.equal((await send(gateway.url, { ...POST, body: JSON.stringify({ pad: 'x'.repeat(70_000) }) })).status, 413)
  })

  t.test('a definition that no pod serves is 404', async t => {
    for (const agent of ['nope', '%2e%2e', '%zz', '..', '%00']) {
      const reply = await send(gateway.url, { method: 'POST', path: `/agents/${agent}/instances` })
      t.equal(reply.status, 404, agent)
      t.equal(reply.text, '{"error":"Agent definition not found"}')
    }
  })

  t.test('a store that holds a higher epoch raises the new session above it', async t => {
    pod.storeEpochs.set('reborn', 41)
    const reply = await send(gateway.url, { ...POST, body: '{"instanceId":"reborn"}' })
    t.equal(reply.status, 201)
    t.equal(pod.sessions.get('reborn'), 42)
    t.match(parse(await send(gateway.url, { path: '/instances/reborn' })), { epoch: 42 })
  })

  t.test("a pod's own error passes, and the claim is taken back", async t => {
    pod.early = (request, response) => {
      if (request.method !== 'POST') return false
      response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"disk full"}')
      return true
    }
    const failed = await send(gateway.url, { ...POST, body: '{"instanceId":"later"}' })
    pod.early = null
    t.equal(failed.status, 500)
    t.equal(failed.text, '{"error":"disk full"}')
    t.equal((await send(gateway.url, { path: '/instances/later' })).status, 404)
    t.equal((await send(gateway.url, { ...POST, body: '{"instanceId":"later"}' })).status, 201)
  })

  t.test('an answer that never came: whatever the pod made is removed again', async t => {
    let deletes = 0
    pod.early = (request, response) => {
      if (request.method === 'DELETE') deletes++
      if (request.method !== 'POST') return false
      response.destroy()
      return true
    }
    const reply = await send(gateway.url, { ...POST, body: '{"instanceId":"unsure"}' })
    pod.early = null
    t.equal(reply.status, 502)
    t.equal(deletes, 1)
    t.equal((await send(gateway.url, { path: '/instances/unsure' })).status, 404)
  })
})

t.test('a pod that died or drains meanwhile costs a try, not the session', async t => {
  const s = await system(t)
  const [a, b] = [await s.pod('pod-a'), await s.pod('pod-b')]
  const gateway = await s.gateway({ allocation: 'round-robin' })
  b.early = (request, response) => {
    if (request.method !== 'POST') return false
    response.writeHead(503, { [REFUSED_HEADER]: 'draining' }).end()
    return true
  }
  for (let i = 0; i < 4; i++) await s.create(gateway)
  t.equal(a.sessions.size, 4)
  b.early = null
  await a.die()
  for (let i = 0; i < 4; i++) await s.create(gateway)
  t.equal(b.sessions.size, 4)
})

t.test('no pod at all: 503, because nobody can tell which definitions there are', async t => {
  const s = await system(t)
  const gateway = await s.gateway()
  const reply = await send(gateway.url, POST)
  t.equal(reply.status, 503)
  t.equal(reply.headers['retry-after'], '1')
  t.same(parse(await send(gateway.url, { path: '/agents' })), [])
})

t.test('gathering over all pods', async t => {
  const s = await system(t)
  await s.pod('pod-a', { agents: ['shell', 'writer'] })
  const b = await s.pod('pod-b', { agents: ['shell', 'coder'] })
  const hole = await Blackhole.open()
  t.teardown(() => hole.close())
  const gateway = await s.gateway({ gatherTimeout: '500ms' })

  t.test('definitions are listed once each', async t => {
    const reply = await send(gateway.url, { path: '/agents' })
    t.same(
      (parse(reply) as { id: string }[]).map(({ id }) => id),
      ['shell', 'writer', 'coder']
    )
    t.equal(reply.headers[MISSING_MEMBERS_HEADER], undefined)
  })

  t.test('a definition that one pod knows is found', async t => {
    t.match(parse(await send(gateway.url, { path: '/agents/coder' })), { id: 'coder', from: 'pod-b' })
    const unknown = await send(gateway.url, { path: '/agents/nope' })
    t.equal(unknown.status, 404)
    t.equal(unknown.text, '{"error":"Agent definition not found"}')
    t.equal((await send(gateway.url, { path: '/agents/nope/instances' })).status, 404)
  })

  t.test('instances of all pods, each once, as its owner has it', async t => {
    const ids = []
    for (let i = 0; i < 6; i++) ids.push(await s.create(gateway))
    const stolen = ids.find(id => b.sessions.has(id)) ?? ''
    s.pods[0]?.sessions.set(stolen, 0)
    const list = parse(await send(gateway.url, { path: '/agents/shell/instances' })) as {
      instanceId: string
      from: string
    }[]
    t.same(list.map(({ instanceId }) => instanceId).toSorted(), ids.toSorted())
    t.equal(list.find(({ instanceId }) => instanceId === stolen)?.from, 'pod-b')
  })

  t.test('a dead and a silent pod are named, and delay the answer no longer than their time', async t => {
    const silent = {
      id: 'pod-x',
      bootId: newBootId(),
      address: `127.0.0.1:${hole.port}`,
      load: 0,
      state: 'ready',
      pid: 1,
      agents: ['shell'],
      capacity: 0
    } as const
    await s.registry.heartbeat(silent, { leaseMs: 60_000, first: true })
    await until(async () => (parse(await send(gateway.adminUrl, { path: '/members' })) as unknown[]).length === 3)
    await b.die()
    const startedAtMs = performance.now()
    const reply = await send(gateway.url, { path: '/agents' })
    t.equal(reply.status, 200)
    t.ok(performance.now() - startedAtMs < 1500)
    t.same(
      (parse(reply) as { id: string }[]).map(({ id }) => id),
      ['shell', 'writer']
    )
    t.equal(reply.headers[MISSING_MEMBERS_HEADER], 'pod-b,pod-x')
    t.equal((await send(gateway.url, { path: '/agents/nope' })).status, 503, 'a pod that is missing might know it')
  })
})

t.test('GET /instances/:id explains, and is no use of the session', async t => {
  const s = await system(t)
  const pod = await s.pod('pod-a')
  const gateway = await s.gateway()
  const id = await s.create(gateway)
  let asked = 0
  pod.early = () => asked++ < 0
  const reply = await send(gateway.url, { path: `/instances/${id}?why` })
  t.equal(reply.status, 200)
  const explanation = parse(reply) as { leaseLeftMs: number }
  t.match(explanation, {
    instanceId: id,
    definitionId: 'shell',
    status: 'started',
    epoch: 1,
    owner: { memberId: 'pod-a', bootId: pod.bootId, pid: process.pid, address: pod.address },
    ownerLive: true
  })
  t.ok(explanation.leaseLeftMs > 20_000 && explanation.leaseLeftMs <= 30_000)
  for (const path of ['/healthz', '/readyz', '/metrics', '/sessions', '/members'])
    await send(gateway.adminUrl, { path })
  await send(gateway.url, { path: '/healthz' })
  t.equal(asked, 0, 'no probe or scrape reaches a pod')
  await pod.die()
  await s.registry.endLease(pod)
  t.match(parse(await send(gateway.url, { path: `/instances/${id}` })), { ownerLive: false, leaseLeftMs: 0 })
  const unknown = await send(gateway.url, { path: '/instances/unknown' })
  t.equal(unknown.status, 404)
  t.equal(unknown.text, '{"error":"Instance not found"}')
})

t.test('other methods and paths are told so, never redirected', async t => {
  const s = await system(t)
  const gateway = await s.gateway()
  const put = await send(gateway.url, { method: 'PUT', path: '/agents' })
  t.equal(put.status, 405)
  t.equal(put.headers.allow, 'GET')
  t.equal((await send(gateway.url, { method: 'DELETE', path: '/agents/shell/instances' })).headers.allow, 'GET, POST')
  for (const path of [
    '/agents/',
    '/agents/shell/',
    '/agents/shell/instances/',
    '/agents/shell/other',
    '/agents/a/instances/b/c'
  ]) {
    t.equal((await send(gateway.url, { path })).status, 404, path)
  }
  const head = await send(gateway.url, { method: 'HEAD', path: '/agents' })
  t.equal(head.status, 200)
  t.equal(head.text, '')
})
