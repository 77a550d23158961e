import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { as, makeGround, run, until } from './fixtures/ground.ts'
import { call, form } from './fixtures/http-call.ts'

t.test("a session that is somebody else's, at another epoch, or nobody's: 421, and nothing is done", async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const other = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  const refusals = [
    [other, session, '0'],
    [pod, { id: 'alice', epoch: 2 }, '1'],
    [pod, { id: 'nobody', epoch: 1 }, '0']
  ] as const
  for (const [at, record, epoch] of refusals) {
    const answer = await as(at, record, 'POST /execute', { body: { command: 'touch done' } })
    t.equal(answer.status, 421)
    t.equal(answer.headers['x-fairlead-refused'], 'not-owner')
    t.equal(answer.headers['x-fairlead-epoch'], epoch)
    t.match(answer.json(), { detail: /not owned by this pod/ })
  }
  t.same(await readdir(ground.filesOf('one', 'alice')), [])
  t.match((await call(other.url, 'GET /instances/alice')).json(), { error: /not owned/ })
  for (const epoch of ['0', '-1', '1.5', 'x', '1,1']) {
    t.equal(
      (await call(pod.url, 'GET /', { headers: { 'x-sandbox-id': 'alice', 'x-fairlead-epoch': epoch } })).status,
      400,
      epoch
    )
  }
})

t.test('the refusal does not wait for the body', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const answer = await call(pod.url, 'POST /upload', {
    headers: { 'x-fairlead-session': 'x', 'x-fairlead-epoch': '1', expect: '100-continue', ...form('a', '').headers },
    body: Buffer.alloc(10_000_000)
  })
  t.equal(answer.status, 421)
})

t.test('twenty requests wake one session once; the first to leave cancels nothing', async t => {
  const ground = await makeGround(t)
  const first = await ground.pod('one')
  const second = await ground.podProcess('two')
  const session = await ground.create(first, 'alice')
  await run(first, session, `sh -c 'head -c 20000000 /dev/urandom > big; echo x > note'`)
  await as(first, session, 'POST /instances/alice/suspend')
  await ground.registry.release(session)
  const moved = await ground.reassign(session, second)
  const leaver = new AbortController()
  const leaving = as(second, moved, 'GET /download/note', { signal: leaver.signal })
  const others = Array.from({ length: 20 }, () => as(second, moved, 'GET /download/note'))
  leaver.abort()
  await t.rejects(leaving)
  for (const answer of await Promise.all(others)) t.equal(answer.text, 'x\n')
  t.equal(second.log().match(/session restored/g)?.length, 1)
})

t.test('local state of the epoch before is kept; older local state is not', async t => {
  const ground = await makeGround(t)
  const first = await ground.pod('one')
  const second = await ground.pod('two')
  let record = await ground.create(first, 'alice')
  await run(first, record, `sh -c 'echo saved > note'`)
  await as(first, record, 'POST /instances/alice/suspend')
  // Newer than the backup, and nobody else owned the session in between.
  await writeFile(join(ground.filesOf('one', 'alice'), 'note'), 'local\n')
  await ground.registry.release(record)
  record = await ground.reassign(record, first)
  t.equal((await run(first, record, 'cat note')).stdout, 'local\n')
  await as(first, record, 'POST /instances/alice/suspend')
  await ground.registry.release(record)
  record = await ground.reassign(record, second)
  await run(second, record, `sh -c 'echo second > note'`)
  await as(second, record, 'POST /instances/alice/suspend')
  await ground.registry.release(record)
  record = await ground.reassign(record, first)
  t.equal((await run(first, record, 'cat note')).stdout, 'second\n')
})

t.test('a client that asks for the creation of a session that exists undoes nothing', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  let record = await ground.create(pod, 'alice')
  await as(pod, record, 'POST /instances/alice/suspend')
  await writeFile(join(ground.filesOf('one', 'alice'), 'note'), 'newer than the backup\n')
  await ground.registry.release(record)
  record = await ground.reassign(record, pod)
  const again = await as(pod, record, 'POST /agents/shell/instances', { body: { instanceId: 'alice' } })
  t.equal(again.status, 201)
  t.equal((await run(pod, record, 'cat note')).stdout, 'newer than the backup\n')
})

t.test('a pod that was killed and comes back goes on from its disk, if nobody else had the session', async t => {
  const ground = await makeGround(t)
  const before = await ground.podProcess('one', { backupDelay: '1s' })
  let record = await ground.create(before, 'alice')
  await as(before, record, 'POST /instances/alice/suspend')
  await run(before, record, `sh -c 'echo not in any backup > note; setsid sleep 62 > /dev/null 2>&1 & sleep 0.1'`)
  await before.end('SIGKILL')
  const after = await ground.podProcess('one')
  t.match(after.log(), /earlier run of this pod had left/, 'its stray processes end')
  record = await ground.reassign(record, after)
  t.equal((await run(after, record, 'cat note')).stdout, 'not in any backup\n')
  t.match(after.log(), /goes on from local files/)
})

t.test('a pod that comes back to a session that somebody else had meanwhile restores it', async t => {
  const ground = await makeGround(t)
  const before = await ground.podProcess('one')
  const other = await ground.pod('two')
  let record = await ground.create(before, 'alice')
  await run(before, record, `sh -c 'echo stale > note; echo stale > only-here'`)
  await before.end('SIGKILL')
  await ground.registry.endLease({ id: 'one', bootId: before.bootId })
  record = await ground.reassign(record, other)
  await run(other, record, `sh -c 'echo newer > note'`)
  await as(other, record, 'POST /instances/alice/suspend')
  await ground.registry.release(record)
  const after = await ground.podProcess('one')
  record = await ground.reassign(record, after)
  t.equal((await run(after, record, 'cat note')).stdout, 'newer\n')
  t.match(after.log(), /session restored/)
})

t.test('a damaged newest backup: the one before is restored, and the log says so', async t => {
  const ground = await makeGround(t)
  const first = await ground.pod('one')
  const second = await ground.podProcess('two')
  const record = await ground.create(first, 'alice')
  for (const content of ['older', 'newer']) {
    await run(first, record, `sh -c 'echo ${content} > note'`)
    await as(first, record, 'POST /instances/alice/suspend')
  }
  const manifests = (await readdir(ground.store, { recursive: true })).filter(name => name.endsWith('.json')).toSorted()
  await writeFile(join(ground.store, manifests.at(-1) ?? ''), '{"torn')
  await ground.registry.release(record)
  const moved = await ground.reassign(record, second)
  t.equal((await run(second, moved, 'cat note')).stdout, 'older\n')
  t.match(second.log(), /restored from an older backup/)
})

t.test('with every backup damaged a session is an error, never empty', async t => {
  const ground = await makeGround(t)
  const first = await ground.pod('one')
  const second = await ground.pod('two')
  const record = await ground.create(first, 'alice')
  await run(first, record, `sh -c 'echo x > note'`)
  await as(first, record, 'POST /instances/alice/suspend')
  for (const name of await readdir(ground.store, { recursive: true })) {
    if (name.endsWith('.json')) await writeFile(join(ground.store, name), '')
  }
  await ground.registry.release(record)
  const moved = await ground.reassign(record, second)
  const answer = await as(second, moved, 'GET /list/')
  t.equal(answer.status, 500)
  t.match(answer.json(), { detail: /no good backup/ })
})

t.test('the store is away: 503, and once it is back the session is', async t => {
  const ground = await makeGround(t)
  const first = await ground.pod('one')
  const second = await ground.pod('two', { store: `fs:${ground.root}/elsewhere` })
  const record = await ground.create(first, 'alice')
  await ground.registry.release(record)
  const moved = await ground.reassign(record, second)
  const answer = await as(second, moved, 'GET /list/')
  t.equal(answer.status, 503)
  t.equal(answer.headers['retry-after'], '1')
  t.equal(answer.headers['x-fairlead-refused'], undefined)
})

t.test(
  "a claim below what the store holds: 409 with the store's epoch; a claim above it goes on from the backup",
  async t => {
    const ground = await makeGround(t)
    const pod = await ground.pod('one')
    const other = await ground.pod('two')
    const record = await ground.create(pod, 'alice')
    await run(pod, record, `sh -c 'echo mine > note'`)
    await as(pod, record, 'POST /instances/alice/suspend')
    await pod.close()
    const { redis } = ground
    await redis.restart()
    await until('redis is back', () => ground.registry.up)
    await ground.registry.markSettled()
    await until(
      'the other pod is registered again',
      async () => ((await ground.registry.readMembers(['two']))[0]?.record ?? null) !== null
    )
    const member = { id: 'two', bootId: other.bootId }
    const low = await ground.registry.claim({ id: 'alice', agent: 'shell' }, { member, settleMs: 0 })
    if (low.status !== 'ok') throw new Error(low.status)
    const create = { body: { instanceId: 'alice' } }
    const behind = await as(other, low.record, 'POST /agents/shell/instances', create)
    t.equal(behind.status, 409)
    t.match(behind.json(), { code: 'epoch-behind', storeEpoch: 1, error: /./ })
    await ground.registry.remove(low.record)
    const high = await ground.registry.claim({ id: 'alice', agent: 'shell', minEpoch: 2 }, { member, settleMs: 0 })
    if (high.status !== 'ok') throw new Error(high.status)
    t.equal((await as(other, high.record, 'POST /agents/shell/instances', create)).status, 201)
    t.equal((await run(other, high.record, 'cat note')).stdout, 'mine\n')
  }
)

t.test('Redis away: what is here goes on, what must be looked up is 503 and not 404', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { lease: '30s' })
  const record = await ground.create(pod, 'alice')
  await ground.redis.kill()
  t.equal((await run(pod, record, 'echo on')).stdout, 'on\n')
  for (const answer of [await as(pod, { id: 'bob', epoch: 1 }, 'GET /'), await call(pod.url, 'GET /instances/bob')]) {
    t.equal(answer.status, 503)
    t.equal(answer.headers['retry-after'], '1')
    t.equal(answer.headers['x-fairlead-refused'], undefined)
  }
})

t.test('what an earlier run left of sessions that are gone is tidied away', async t => {
  const ground = await makeGround(t)
  const before = await ground.podProcess('one')
  const other = await ground.pod('two')
  const kept = await ground.create(before, 'kept')
  const taken = await ground.create(before, 'taken')
  const deleted = await ground.create(before, 'deleted')
  await before.end('SIGKILL')
  await ground.registry.endLease({ id: 'one', bootId: before.bootId })
  await as(other, await ground.reassign(taken, other), 'GET /list/')
  await as(other, await ground.reassign(deleted, other), 'DELETE /instances/deleted')
  const after = await ground.pod('one')
  const sessions = join(ground.dataOf('one'), 'sessions')
  await until('two are gone', async () => (await readdir(sessions)).join() === 'kept')
  t.equal((await as(after, await ground.reassign(kept, after), 'GET /list/')).status, 200)
  await rm(join(ground.root, 'x'), { force: true })
})
