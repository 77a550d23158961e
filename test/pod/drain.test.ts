import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { as, makeGround, run, until } from './fixtures/ground.ts'

t.test(
  'drain: refuses new sessions at once, lets a running command finish, saves and releases, and leaves',
  async t => {
    const ground = await makeGround(t)
    const pod = await ground.podProcess('one', { backupDelay: '1s' })
    const next = await ground.pod('two')
    const busy = await ground.create(pod, 'busy')
    const idle = await ground.create(pod, 'idle')
    await run(pod, idle, `sh -c 'echo kept > note'`)
    const answer = as(pod, busy, 'POST /execute', {
      body: { command: `sh -c 'touch begun; sleep 4; echo finished | tee note'` }
    })
    await until('it runs', () => existsSync(join(ground.filesOf('one', 'busy'), 'begun')))
    pod.child.kill('SIGTERM')
    await until(
      'it says that it drains',
      async () => (await ground.registry.readMembers(['one']))[0]?.record?.state === 'draining'
    )
    const create = await as(pod, { id: 'new', epoch: 1 }, 'POST /agents/shell/instances', {
      body: { instanceId: 'new' }
    })
    t.equal(create.status, 503)
    t.equal(create.headers['x-fairlead-refused'], 'draining')
    await until(
      'the idle session is given away',
      async () => (await ground.registry.lookup('idle')).record?.owner === ''
    )
    t.equal((await as(pod, idle, 'GET /')).status, 421)
    const moved = await ground.reassign(idle, next)
    t.equal((await run(next, moved, 'cat note')).stdout, 'kept\n')
    t.match((await answer).json(), { stdout: 'finished\n', exit_code: 0 })
    await until('it has ended', () => pod.child.exitCode !== null)
    t.equal(pod.child.exitCode, 0)
    t.equal((await ground.registry.readMembers(['one']))[0]?.record, null)
    const { record } = await ground.registry.lookup('busy')
    t.match(record, { owner: '', epoch: 1 })
    t.equal((await run(next, await ground.reassign(busy, next), 'cat note')).stdout, 'finished\n')
  }
)

t.test('a session that is assigned to a draining pod is given back', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one')
  const other = await ground.pod('two')
  const session = await ground.create(other, 'alice')
  const busy = await ground.create(pod, 'busy')
  const going = as(pod, busy, 'POST /execute', { body: { command: 'sleep 4' } })
  await ground.registry.release(session)
  // Decided by a gateway that did not know yet.
  const assigned = await ground.reassign(session, pod)
  pod.child.kill('SIGTERM')
  await until('it drains', async () => (await ground.registry.readMembers(['one']))[0]?.record?.state === 'draining')
  t.equal((await as(pod, assigned, 'GET /')).status, 421)
  t.equal((await ground.registry.lookup('alice')).record?.owner, '')
  t.equal((await going).status, 200)
})

t.test('a drain is bounded: commands that do not end are killed, and what they wrote is kept', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one', { drainTimeout: '1500ms' })
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  const stuck = as(pod, session, 'POST /execute', { body: { command: `sh -c 'echo so far > note; sleep 64'` } })
  const stream = as(pod, session, 'POST /execute/stream', { body: { command: 'sleep 64' } })
  stream.catch(() => undefined)
  const note = join(ground.filesOf('one', 'alice'), 'note')
  await until('it runs', async () => (await readFile(note, 'utf8').catch(() => '')) !== '')
  const { hostname, port } = new URL(pod.url)
  const idle = connect(Number(port), hostname)
  const half = connect(Number(port), hostname, () => half.write('POST /execute HTTP/1.1\r\nX-Sandbox-ID: alice\r\n'))
  for (const socket of [idle, half]) socket.on('error', () => undefined)
  const atMs = performance.now()
  pod.child.kill('SIGTERM')
  const answer = await stuck
  t.equal(answer.status, 503)
  t.equal(answer.headers['x-fairlead-refused'], undefined, 'it was acted upon')
  await t.rejects(stream)
  await until('it has ended', () => pod.child.exitCode !== null)
  t.equal(pod.child.exitCode, 0)
  t.ok(performance.now() - atMs < 6_000)
  t.equal((await run(next, await ground.reassign(session, next), 'cat note')).stdout, 'so far\n')
})

t.test('a drain without Redis and without a store ends all the same', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one', { drainTimeout: '1s' })
  const session = await ground.create(pod, 'alice')
  await run(pod, session, `sh -c 'echo x > note'`)
  ground.redis.pause()
  t.teardown(() => ground.redis.resume())
  pod.child.kill('SIGTERM')
  await until('it has ended', () => pod.child.exitCode !== null)
  t.equal(pod.child.exitCode, 0)
})

t.test('close is idempotent and leaves no process behind', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const session = await ground.create(pod, 'alice')
  await run(
    pod,
    session,
    `sh -c 'setsid sh -c "echo \\$\\$ > stray; sleep 65" > /dev/null 2>&1 & while [ ! -s stray ]; do :; done'`
  )
  const pid = (await readFile(join(ground.filesOf('one', 'alice'), 'stray'), 'utf8')).trim()
  await Promise.all([pod.close(), pod.close()])
  await pod.close()
  await until('the stray is gone', async () => {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    return stat === '' || / [ZX] /.test(stat)
  })
  await t.rejects(as(pod, session, 'GET /'))
})

t.test('twenty sessions are handed over, none is lost', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one', { backupDelay: '1s', parallelBackups: 3 })
  const next = await ground.pod('two')
  const sessions = await Promise.all(Array.from({ length: 20 }, (_, i) => ground.create(pod, `s-${i}`)))
  await Promise.all(sessions.map(session => run(pod, session, `sh -c 'echo ${session.id} > note'`)))
  await pod.end('SIGTERM')
  t.equal(pod.child.exitCode, 0)
  for (const session of sessions) {
    t.equal((await run(next, await ground.reassign(session, next), 'cat note')).stdout, `${session.id}\n`)
  }
})
