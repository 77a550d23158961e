import { readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Redis } from 'ioredis'
import { as, makeGround, run, until } from './fixtures/ground.ts'
import type { Ground, PodProcess } from './fixtures/ground.ts'
import { call } from './fixtures/http-call.ts'

async function record(ground: Ground, id: string) {
  return (await ground.registry.readMembers([id]))[0]?.record ?? null
}

/** Newest manifest and everything else that the store holds, with times, to tell whether anything was written. */
async function storeState(ground: Ground): Promise<string> {
  const names = (await readdir(ground.store, { recursive: true })).toSorted()
  const times = await Promise.all(names.map(async name => (await stat(join(ground.store, name))).mtimeMs))
  return names.map((name, i) => `${name} ${times[i]}`).join('\n')
}

t.test('registers with everything a gateway needs', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { capacity: 7, advertiseAddress: '10.1.2.3:99' })
  t.match(await record(ground, 'one'), {
    id: 'one',
    bootId: pod.bootId,
    address: '10.1.2.3:99',
    load: 0,
    state: 'ready',
    pid: process.pid,
    agents: ['shell'],
    capacity: 7
  })
})

t.test('comes back by itself after its record expired or was evicted', async t => {
  const ground = await makeGround(t)
  await ground.pod('one')
  const redis = new Redis(ground.redis.url)
  t.teardown(() => redis.disconnect())
  await redis.del('{fairlead}:member:one')
  t.equal(await record(ground, 'one'), null)
  await until('it is back', async () => (await record(ground, 'one')) !== null)
})

t.test('comes back with its sessions after FLUSHALL, and they are served all the time', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const session = await ground.create(pod, 'alice')
  const redis = new Redis(ground.redis.url)
  t.teardown(() => redis.disconnect())
  const answers: number[] = []
  await redis.flushall()
  await until('the session is back', async () => {
    answers.push((await as(pod, session, 'GET /')).status)
    return (await ground.registry.lookup('alice')).record !== null
  })
  t.match((await ground.registry.lookup('alice')).record, session)
  t.ok(answers.length > 0)
  t.ok(answers.every(status => status === 200))
})

t.test('survives a Redis that is killed, frozen and restarted, without a rejection that nobody minds', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one')
  const session = await ground.create(pod, 'alice')
  await ground.redis.kill()
  await until('it is fenced', async () => (await as(pod, session, 'GET /')).status === 503)
  const refused = await as(pod, session, 'POST /execute', { body: { command: 'touch no' } })
  t.equal(refused.headers['x-fairlead-refused'], 'fenced')
  t.equal(refused.headers['retry-after'], '1')
  t.equal((await call(pod.url, 'GET /readyz')).status, 503)
  t.equal((await call(pod.url, 'GET /healthz')).status, 200)
  await ground.redis.start()
  await until('it serves again', async () => (await as(pod, session, 'GET /')).status === 200)
  ground.redis.pause()
  await until('it is fenced again', async () => (await as(pod, session, 'GET /')).status === 503)
  ground.redis.resume()
  await until('it serves again', async () => (await as(pod, session, 'GET /')).status === 200)
  t.same((await run(pod, session, 'ls')).stdout, '')
  t.equal(pod.child.exitCode, null)
  t.notMatch(pod.log(), /unhandled/i)
})

/** Freezes a pod until its lease is over, and moves its session away meanwhile. */
async function loseWhileFrozen(
  ground: Ground,
  pod: PodProcess,
  next: { memberId: string; bootId: string; url: string },
  session: Awaited<ReturnType<Ground['create']>>
) {
  pod.child.kill('SIGSTOP')
  await until('its lease is over', async () => (await record(ground, pod.memberId)) === null)
  return ground.reassign(session, next)
}

t.test('a frozen owner that wakes up serves nothing, writes nothing, and drops what it lost', async t => {
  const ground = await makeGround(t)
  // Wide enough apart that the next heartbeat is not what refuses.
  const pod = await ground.podProcess('one', { lease: '2s', heartbeat: '900ms' })
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  await run(pod, session, `sh -c 'echo first > note'`)
  await as(pod, session, 'POST /instances/alice/suspend')
  const files = ground.filesOf('one', 'alice')
  const moved = await loseWhileFrozen(ground, pod, next, session)
  await run(next, moved, `sh -c 'echo second > note'`)
  await as(next, moved, 'POST /instances/alice/suspend')
  const before = await storeState(ground)
  // In its socket's queue when it wakes: these come before any timer.
  const late = Array.from({ length: 5 }, (_, i) =>
    as(pod, session, 'POST /execute', { body: { command: `touch late-${i}` } })
  )
  const direct = call(pod.url, 'POST /execute', {
    headers: { 'x-sandbox-id': 'alice' },
    body: { command: 'touch direct' }
  })
  pod.child.kill('SIGCONT')
  for (const answer of await Promise.all([...late, direct])) {
    t.ok(answer.status === 503 || answer.status === 421, `refused with ${answer.status}`)
    t.match(answer.headers['x-fairlead-refused'], /^(fenced|not-owner)$/)
  }
  await until('it has dropped the session', async () => (await stat(files).catch(() => null)) === null)
  t.equal(await storeState(ground), before, 'nothing was written')
  t.equal((await as(pod, session, 'GET /')).status, 421)
  t.equal((await run(next, moved, 'cat note')).stdout, 'second\n')
})

t.test(
  'a frozen owner that wakes up in the middle of a command does not vouch for it, kills it and saves nothing',
  async t => {
    const ground = await makeGround(t)
    const pod = await ground.podProcess('one')
    const next = await ground.pod('two')
    const session = await ground.create(pod, 'alice')
    const answer = as(pod, session, 'POST /execute', {
      body: { command: `sh -c 'echo $$ > pid; while :; do date +%N > ticking; sleep 0.01; done'` }
    })
    const stream = as(pod, session, 'POST /execute/stream', { body: { command: 'sleep 63' } })
    const file = join(ground.filesOf('one', 'alice'), 'pid')
    await until('it runs', async () => (await readFile(file, 'utf8').catch(() => '')).endsWith('\n'))
    const pid = Number(await readFile(file, 'utf8'))
    const moved = await loseWhileFrozen(ground, pod, next, session)
    t.equal((await as(next, moved, 'GET /list/')).status, 200)
    const before = await storeState(ground)
    stream.catch(() => undefined)
    pod.child.kill('SIGCONT')
    const answered = await answer
    t.equal(answered.status, 503)
    t.equal(answered.headers['x-fairlead-refused'], undefined, 'it was acted upon')
    await t.rejects(stream)
    t.throws(() => process.kill(pid, 0), 'the command is dead')
    t.equal(await storeState(ground), before)
  }
)

t.test('a command that ended while its pod slept past the lease is not vouched for', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one')
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  const command = `sh -c 'echo > begun; while [ ! -e end ]; do sleep 0.02; done; echo > ended'`
  const answer = as(pod, session, 'POST /execute', { body: { command } })
  const isThere = async (name: string): Promise<boolean> =>
    (await stat(join(ground.filesOf('one', 'alice'), name)).catch(() => null)) !== null
  await until('it runs', () => isThere('begun'))
  await loseWhileFrozen(ground, pod, next, session)
  await writeFile(join(ground.filesOf('one', 'alice'), 'end'), '')
  await until('it has ended', () => isThere('ended'))
  pod.child.kill('SIGCONT')
  const answered = await answer
  t.equal(answered.status, 503)
  t.match(answered.json(), { detail: /may be lost/ })
})

t.test('a change that waits for its backup when the pod freezes is not written after it woke', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one', { backupDelay: '1s' })
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  await as(pod, session, 'POST /instances/alice/suspend')
  await run(pod, session, `sh -c 'echo unsaved > note'`)
  const moved = await loseWhileFrozen(ground, pod, next, session)
  await run(next, moved, `sh -c 'echo second > other'`)
  await as(next, moved, 'POST /instances/alice/suspend')
  const before = await storeState(ground)
  pod.child.kill('SIGCONT')
  await until('it has dropped the session', async () => (await as(pod, session, 'GET /')).status === 421)
  t.equal(await storeState(ground), before)
  await until('it says so', () => pod.log().includes('session lost'))
})

t.test('frozen past its lease, but nobody took the session: it goes on where it was', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one')
  const session = await ground.create(pod, 'alice')
  await run(pod, session, `sh -c 'echo here > note'`)
  pod.child.kill('SIGSTOP')
  await until('its lease is over', async () => (await record(ground, 'one')) === null)
  pod.child.kill('SIGCONT')
  await until('it serves again', async () => (await as(pod, session, 'GET /')).status === 200)
  t.equal((await run(pod, session, 'cat note')).stdout, 'here\n')
})

t.test('a lease that was revoked: sessions that moved are dropped at the next heartbeat, others stay', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const next = await ground.pod('two')
  const moved = await ground.create(pod, 'moved')
  const stays = await ground.create(pod, 'stays')
  await ground.registry.endLease({ id: 'one', bootId: pod.bootId })
  await ground.reassign(moved, next)
  await until('it is dropped', async () => (await as(pod, moved, 'GET /')).status === 421)
  await until('the other is served', async () => (await as(pod, stays, 'GET /')).status === 200)
})

t.test(
  'a member id that another process takes: the older one serves nothing any more, and touches no files',
  async t => {
    const ground = await makeGround(t)
    const older = await ground.podProcess('one')
    const session = await ground.create(older, 'alice')
    await run(older, session, `sh -c 'echo x > note'`)
    const newer = await ground.pod('one', { dataDirectory: ground.dataOf('elsewhere') })
    await until('the older one is ill', async () => (await call(older.url, 'GET /healthz')).status === 503)
    t.equal((await as(older, session, 'GET /')).status, 503)
    t.equal(await readFile(join(ground.filesOf('one', 'alice'), 'note'), 'utf8'), 'x\n')
    t.match(await record(ground, 'one'), { bootId: newer.bootId })
  }
)

t.test('one data directory, one pod', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  await t.rejects(ground.pod('two', { dataDirectory: ground.dataOf('one') }), {
    code: 'config',
    message: /one at a time/
  })
  await pod.close()
  await ground.pod('two', { dataDirectory: ground.dataOf('one') })
})

t.test('a pod that cannot start leaves nothing behind, and says what is wrong', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  await t.rejects(ground.pod('two', { port: Number(new URL(pod.url).port) }), { code: 'EADDRINUSE' })
  await t.rejects(ground.pod('two', { store: 'ftp://x' }), { code: 'config' })
  await t.rejects(ground.pod('Bad_Name'), { code: 'config', message: /memberId/ })
  await t.rejects(ground.pod('two', { lease: '1s', heartbeat: '500ms', leaseMargin: '600ms' }), { code: 'config' })
  await t.rejects(ground.pod('two', { agentsDirectory: '/nonexistent' }), { code: 'ENOENT' })
  await writeFile(join(ground.root, 'file'), '')
  await t.rejects(ground.pod('two', { dataDirectory: join(ground.root, 'file') }))
  await ground.pod('two')
})
