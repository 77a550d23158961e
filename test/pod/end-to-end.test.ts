import t from 'tap'
import { as, makeGround, run } from './fixtures/ground.ts'
import { call, form } from './fixtures/http-call.ts'

t.test('a session outlives its pod: what was answered is there on the next one', async t => {
  const ground = await makeGround(t)
  const first = await ground.podProcess('one', { durability: 'sync' })
  const second = await ground.pod('two')
  const record = await ground.create(first, 'alice')
  t.match(await run(first, record, `sh -c 'echo hello > note; pwd'`), { exit_code: 0, stderr: '' })
  const uploaded = await as(first, record, 'POST /upload', form('dir/data.bin', Buffer.from([0, 255, 10])))
  t.same(uploaded.json(), { message: 'File uploaded.', path: 'dir/data.bin', size: 3 })
  await first.end('SIGKILL')
  await ground.registry.endLease({ id: 'one', bootId: first.bootId })
  const moved = await ground.reassign(record, second)
  t.equal(moved.epoch, record.epoch + 1)
  t.same(await run(second, moved, 'cat note'), { stdout: 'hello\n', stderr: '', exit_code: 0 })
  const downloaded = await as(second, moved, 'GET /download/dir%2Fdata.bin')
  t.same([...downloaded.bytes], [0, 255, 10])
  t.equal(downloaded.headers['content-length'], '3')
})

t.test('without a gateway: a pod claims, serves and deletes sessions by itself', async t => {
  const ground = await makeGround(t)
  const pod = await ground.pod('one')
  const made = await call(pod.url, 'POST /agents/shell/instances')
  t.equal(made.status, 201)
  const { instanceId } = Object(made.json())
  t.match(made.json(), { instanceId: /^[a-z2-7]{24}$/, definitionId: 'shell', status: 'started' })
  const headers = { 'x-sandbox-id': String(instanceId) }
  const executed = await call(pod.url, 'POST /execute', { headers, body: { command: 'printf "%s" "a b"' } })
  t.same(executed.json(), { stdout: 'a b', stderr: '', exit_code: 0 })
  t.match((await call(pod.url, 'GET /', { headers })).json(), { status: 'ok', sandbox: instanceId })
  t.match((await call(pod.url, `GET /instances/${instanceId}`)).json(), { id: instanceId, epoch: 1, pid: process.pid })
  t.equal((await call(pod.url, `DELETE /instances/${instanceId}`)).status, 204)
  const gone = await call(pod.url, `DELETE /instances/${instanceId}`)
  t.equal(gone.status, 404)
  t.same(gone.json(), { error: 'Instance not found' })
  t.equal((await ground.registry.lookup(String(instanceId))).record, null)
})
