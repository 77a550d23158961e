import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { openStore } from '../../pod/backup/open-store.ts'
import { SessionBackup } from '../../pod/backup/session-backup.ts'
import { as, makeGround, run, until } from './fixtures/ground.ts'
import { form } from './fixtures/http-call.ts'

t.test('sync: what was answered is there, however soon the pod dies', async t => {
  const ground = await makeGround(t)
  const next = await ground.pod('next')
  for (let i = 0; i < 4; i += 1) {
    const pod = await ground.podProcess(`pod-${i}`, { durability: 'sync' })
    const session = await ground.create(pod, `s-${i}`)
    await as(pod, session, 'POST /upload', form('up', `up ${i}`))
    await run(pod, session, `sh -c 'echo ${i} > note'`)
    await pod.end('SIGKILL')
    await ground.registry.endLease({ id: pod.memberId, bootId: pod.bootId })
    const moved = await ground.reassign(session, next)
    t.equal((await run(next, moved, 'cat up note')).stdout, `up ${i}${i}\n`)
  }
})

t.test('interval: what was answered is there a second later, however many came', async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one')
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  for (let i = 0; i < 20; i += 1) await run(pod, session, `sh -c 'echo ${i} >> log'`)
  await as(pod, session, 'POST /upload', form('last', 'last'))
  // What is promised is a time.
  await delay(1_000)
  await pod.end('SIGKILL')
  await ground.registry.endLease({ id: 'one', bootId: pod.bootId })
  const moved = await ground.reassign(session, next)
  t.equal((await run(next, moved, 'wc -l log')).stdout, '20 log\n')
  t.equal((await run(next, moved, 'cat last')).stdout, 'last')
})

t.test('interval: what was answered right before the lease ends is saved before it is over', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { backupDelay: '1s', lease: '2s', heartbeat: '500ms', leaseMargin: '1s' })
  const session = await ground.create(pod, 'alice')
  await ground.redis.kill()
  let answered = 0
  for (let status = 200; status === 200;) {
    const command = { body: { command: `sh -c 'echo ${answered + 1} >> log'` } }
    status = (await as(pod, session, 'POST /execute', command)).status
    if (status === 200) answered += 1
  }
  // Past the end of the lease, nothing is written any more.
  await delay(1_000)
  const copy = join(ground.root, 'copy')
  await new SessionBackup({ store: openStore(`fs:${ground.store}`), sessionId: 'alice', directory: copy }).restore()
  // The one that the fence met on its way was refused an answer, and may be there.
  const saved = (await readFile(join(copy, 'log'), 'utf8')).trim().split('\n').length
  t.ok(answered > 0 && saved >= answered, `${answered} answered, ${saved} saved`)
})

t.test("many parallel changes are one session's saves after one another, and the last one counts", async t => {
  const ground = await makeGround(t)
  const pod = await ground.podProcess('one', { durability: 'sync' })
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  const names = Array.from({ length: 30 }, (_, i) => `f-${i}`)
  const answers = await Promise.all(names.map(name => as(pod, session, 'POST /upload', form(name, name))))
  t.ok(answers.every(answer => answer.status === 200))
  await pod.end('SIGKILL')
  await ground.registry.endLease({ id: 'one', bootId: pod.bootId })
  const moved = await ground.reassign(session, next)
  t.same((await run(next, moved, 'ls')).stdout.trim().split('\n').toSorted(), names.toSorted())
})

t.test('sync with the store away: the answer is an error, and the change is saved once it is back', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { durability: 'sync' })
  const next = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  await rename(ground.store, `${ground.store}-away`)
  const answer = await as(pod, session, 'POST /upload', form('file', 'x'))
  t.equal(answer.status, 503)
  t.match(answer.json(), { detail: /could not be made durable/ })
  t.equal(answer.headers['x-fairlead-refused'], undefined, 'it was acted upon')
  t.equal((await as(pod, session, 'GET /download/file')).text, 'x')
  await rename(`${ground.store}-away`, ground.store)
  await until('it is saved', async () => {
    const metrics = await as(pod, session, 'GET /metrics')
    return metrics.text.includes('fairlead_pod_sessions_unsaved 0')
  })
  await ground.registry.release(session)
  const moved = await ground.reassign(session, next)
  t.equal((await as(next, moved, 'GET /download/file')).text, 'x')
})
