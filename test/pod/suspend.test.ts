import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { as, makeGround, run, until } from './fixtures/ground.ts'
import type { Ground } from './fixtures/ground.ts'
import { call, form } from './fixtures/http-call.ts'

async function status(pod: { url: string }, id: string): Promise<unknown> {
  return Object((await call(pod.url, `GET /instances/${id}`)).json())['status']
}

async function stateInRegistry(ground: Ground, id: string): Promise<string | undefined> {
  return (await ground.registry.lookup(id)).record?.state
}

t.test('an unused session is suspended, a request wakes it, and the files are the local ones', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { idleTimeout: '150ms' })
  const session = await ground.create(pod, 'alice')
  await run(pod, session, `sh -c 'echo newest > note'`)
  await until('it is suspended', async () => (await status(pod, 'alice')) === 'suspended')
  await until('the registry knows', async () => (await stateInRegistry(ground, 'alice')) === 'suspended')
  // No backup may be put over what is here, however it came here.
  await writeFile(join(ground.filesOf('one', 'alice'), 'note'), 'newer than any backup\n')
  t.equal((await run(pod, session, 'cat note')).stdout, 'newer than any backup\n')
  t.equal(await status(pod, 'alice'), 'started')
  await until('the registry knows', async () => (await stateInRegistry(ground, 'alice')) === 'active')
})

t.test('a long command and a long stream are use: the session is not suspended under them', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { idleTimeout: '100ms' })
  const session = await ground.create(pod, 'alice')
  const command = `sh -c 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done'`
  const going = as(pod, session, 'POST /execute/stream', { body: { command } })
  const seen: unknown[] = []
  const over = going.then(() => true)
  while (!(await Promise.race([over, delay(20, false)]))) seen.push(await status(pod, 'alice'))
  t.match((await going).text, /"type":"exit","exitCode":0/)
  t.notOk(seen.includes('suspended'))
  t.ok(seen.length > 5)
  await until('it is suspended afterwards', async () => (await status(pod, 'alice')) === 'suspended')
})

t.test('probes, scrapes, lists and requests that say so do not keep a session awake, nor wake it', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { idleTimeout: '300ms' })
  const session = await ground.create(pod, 'alice')
  await as(pod, session, 'POST /upload', form('file', 'x'))
  const noActivity = { headers: { 'x-fairlead-activity': 'none' } }
  const probe = async (): Promise<void> => {
    for (const target of ['/healthz', '/readyz', '/metrics', '/agents/shell/instances', '/agents'])
      await call(pod.url, `GET ${target}`)
    await as(pod, session, 'GET /')
    t.equal((await as(pod, session, 'GET /download/file', noActivity)).text, 'x')
  }
  await until('it is suspended', async () => {
    await probe()
    return (await status(pod, 'alice')) === 'suspended'
  })
  await probe()
  t.equal(await status(pod, 'alice'), 'suspended')
  t.equal((await as(pod, session, 'GET /download/file')).text, 'x')
  t.equal(await status(pod, 'alice'), 'started', 'the same request without that word does')
})

t.test('a heartbeat keeps a session awake', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { idleTimeout: '300ms' })
  const session = await ground.create(pod, 'alice')
  for (let i = 0; i < 10; i += 1) {
    t.equal((await as(pod, session, 'POST /instances/alice/heartbeat')).status, 204)
    await delay(60)
  }
  t.equal(await status(pod, 'alice'), 'started')
  await until('it is suspended', async () => (await status(pod, 'alice')) === 'suspended')
  t.equal((await as(pod, session, 'POST /instances/alice/heartbeat')).status, 204)
  t.equal(await status(pod, 'alice'), 'suspended', 'a heartbeat does not wake it')
})

t.test('suspend and resume by hand are idempotent; suspend refuses while a command runs', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const session = await ground.create(pod, 'alice')
  for (const verb of ['suspend', 'suspend', 'resume', 'resume', 'suspend']) {
    t.equal((await as(pod, session, `POST /instances/alice/${verb}`)).status, 204)
    t.equal(await status(pod, 'alice'), verb === 'suspend' ? 'suspended' : 'started')
  }
  const going = as(pod, session, 'POST /execute/stream', {
    body: { command: `sh -c 'echo > begun; sleep 0.5; echo end'` }
  })
  await until('it runs', async () => (await as(pod, session, 'GET /exists/begun')).text.includes('true'))
  const refused = await as(pod, session, 'POST /instances/alice/suspend')
  t.equal(refused.status, 409)
  t.match(refused.json(), { error: /in use/ })
  t.match((await going).text, /end\\n.*"exitCode":0/s)
  t.equal((await call(pod.url, 'POST /instances/nobody/suspend')).status, 404)
})

t.test('requests and suspensions cross without harm, over and over', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one', { idleTimeout: '2ms' })
  const session = await ground.create(pod, 'alice')
  for (let i = 0; i < 60; i += 1) {
    const ran = await run(pod, session, `sh -c 'echo ${i} >> log'`)
    t.equal(ran.exit_code, 0)
    await delay(i % 12)
  }
  const all = await Promise.all([1, 2, 3, 4, 5].map(() => run(pod, session, `wc -l log`)))
  for (const ran of all) t.match(ran.stdout, /^60 /)
})

t.test('files survive many cycles of suspend, move and resume', async t => {
  const ground = await makeGround(t)
  const pods = [await ground.pod('one'), await ground.pod('two')] as const
  let record = await ground.create(pods[0], 'alice')
  for (let cycle = 0; cycle < 4; cycle += 1) {
    const here = pods[cycle % 2 === 0 ? 0 : 1]
    const next = pods[cycle % 2 === 0 ? 1 : 0]
    t.equal(
      (await run(here, record, `sh -c 'echo ${cycle} > file-${cycle}; mkdir -p d; echo ${cycle} >> d/all'`)).exit_code,
      0
    )
    t.equal((await as(here, record, 'POST /instances/alice/suspend')).status, 204)
    t.equal((await as(here, record, 'POST /instances/alice/resume')).status, 204)
    t.equal((await as(here, record, 'POST /instances/alice/suspend')).status, 204)
    await ground.registry.release(record)
    record = await ground.reassign(record, next)
    const ran = await run(next, record, `sh -c 'cat file-* d/all'`)
    const expected = Array.from({ length: cycle + 1 }, (_, i) => `${i}\n`).join('')
    t.equal(ran.stdout, expected + expected, `cycle ${cycle}`)
  }
})

t.test('suspend ends what a command left running, and its last writes are in the backup', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const other = await ground.pod('two')
  const session = await ground.create(pod, 'alice')
  await run(
    pod,
    session,
    `sh -c 'setsid sh -c "echo \\$\\$ > stray; while :; do date +%N > ticking; done" > /dev/null 2>&1 & sleep 0.1'`
  )
  const files = ground.filesOf('one', 'alice')
  await until('the stray runs', async () => (await readFile(join(files, 'stray'), 'utf8').catch(() => '')) !== '')
  t.equal((await as(pod, session, 'POST /instances/alice/suspend')).status, 204)
  const last = await readFile(join(files, 'ticking'), 'utf8')
  await ground.registry.release(session)
  const moved = await ground.reassign(session, other)
  t.equal((await run(other, moved, 'cat ticking')).stdout, last)
})
