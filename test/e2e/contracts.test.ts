import t from 'tap'
import { call, form } from '../pod/fixtures/http-call.ts'
import type { Answer, CallOptions } from '../pod/fixtures/http-call.ts'
import { Cluster } from './fixtures/cluster.ts'

const cluster = await Cluster.start(t)

function ask(methodAndTarget: string, options: CallOptions = {}): Promise<Answer> {
  return call(cluster.url, methodAndTarget, options)
}

/** Status and JSON of an answer. */
function told(answer: Answer): [status: number, body: unknown] {
  return [answer.status, answer.text === '' ? '' : answer.json()]
}

t.test('a client of agent-sandbox works unchanged', async t => {
  const session = await cluster.create('sandbox-1')
  const headers = {
    'x-sandbox-namespace': 'default',
    'x-sandbox-port': '8888',
    // SDKs send the address that they once saw.
    'x-sandbox-pod-ip': '10.1.2.3'
  }
  const send = (target: string, options: CallOptions = {}) =>
    session.send(target, { ...options, headers: { ...headers, ...options.headers } })
  t.match(told(await send('GET /')), [200, { status: 'ok' }])
  const execute = async (command: string) => told(await send('POST /execute', { body: { command } }))
  t.same(await execute('echo "a  b" c'), [200, { stdout: 'a  b c\n', stderr: '', exit_code: 0 }])
  t.same(await execute(`sh -c 'echo out; echo err >&2; exit 3'`), [
    200,
    { stdout: 'out\n', stderr: 'err\n', exit_code: 3 }
  ])
  t.same(await execute('echo $HOME | cat'), [200, { stdout: '$HOME | cat\n', stderr: '', exit_code: 0 }])
  t.match(await execute('no-such-program'), [200, { stdout: '', stderr: /no-such-program/, exit_code: 1 }])

  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, at) => at % 256))
  t.equal((await send('POST /upload', form('sub/data.bin', bytes))).status, 200)
  const download = await send('GET /download/sub/data.bin')
  t.equal(download.status, 200)
  t.ok(download.bytes.equals(bytes), 'every byte came back')
  const head = await send('HEAD /download/sub/data.bin')
  t.same([head.status, head.headers['content-length'], head.text], [200, '70000', ''])
  t.match(told(await send('GET /list/sub')), [
    200,
    [{ name: 'data.bin', size: 70_000, type: 'file', mod_time: Number }]
  ])
  t.match(told(await send('GET /list/.')), [200, [{ name: 'sub', type: 'directory' }]])
  t.same(told(await send('GET /exists/sub/data.bin')), [200, { path: 'sub/data.bin', exists: true }])
  t.same(told(await send('GET /exists/none')), [200, { path: 'none', exists: false }])
  t.equal((await send('GET /download/none')).status, 404)
  const outside = await send('GET /download/..%2F..%2F..%2Fetc%2Fpasswd')
  t.ok(outside.status >= 400 && outside.status < 500, `outside: ${outside.status}`)
  t.notMatch(outside.text, /root:/)
  const dots = await send('GET /download/../../../../etc/passwd')
  t.ok(dots.status >= 400 && dots.status < 500, `dot segments: ${dots.status}`)
})

t.test('errors have the bodies that clients of agent-sandbox match on', async t => {
  await cluster.create('sandbox-2')
  const refusal = async (headers: Record<string, string>) => told(await ask('GET /', { headers }))
  const id = { 'x-sandbox-id': 'sandbox-2' }
  t.same(await refusal({}), [400, { detail: 'X-Sandbox-ID header is required.' }])
  for (const bad of ['UPPER', '-a', 'a-', 'a.b', 'a_b', 'a/b', 'ü', 'a'.repeat(64)]) {
    const header = Buffer.from(bad).toString('latin1')
    t.same(await refusal({ 'x-sandbox-id': header }), [400, { detail: 'Invalid sandbox ID format.' }], bad)
  }
  t.same(await refusal({ ...id, 'x-sandbox-namespace': 'No' }), [400, { detail: 'Invalid namespace format.' }])
  for (const port of ['0', '65536', 'x', '1.5', '-1']) {
    t.same(await refusal({ ...id, 'x-sandbox-port': port }), [400, { detail: 'Invalid port format.' }], port)
  }
  for (const ip of ['pod.example', '169.254.169.254', '0.0.0.0', '224.0.0.1', '::', 'fe80::1']) {
    t.same(await refusal({ ...id, 'x-sandbox-pod-ip': ip }), [400, { detail: 'Invalid target IP address.' }], ip)
  }
  t.same(await refusal({ 'x-sandbox-id': 'nobody' }), [404, { detail: 'Sandbox not found: nobody' }])
  t.same(told(await ask('GET /healthz')), [200, { status: 'ok' }])
})

t.test("a client of Regina's REST works unchanged", async t => {
  const shell = { id: 'shell', name: String, description: String, model: null, provider: null, tools: Array }
  t.match(told(await ask('GET /agents')), [200, [shell]])
  t.equal((Object((await ask('GET /agents')).json()) as unknown[]).length, 1, 'three pods serve it, it is listed once')
  t.match(told(await ask('GET /agents/shell')), [200, { id: 'shell' }])
  const unknownDefinition = [404, { error: 'Agent definition not found' }]
  t.same(told(await ask('GET /agents/none')), unknownDefinition)
  t.same(told(await ask('POST /agents/none/instances')), unknownDefinition)
  t.same(told(await ask('GET /agents/none/instances')), unknownDefinition)

  const made = await ask('POST /agents/shell/instances')
  t.equal(made.status, 201)
  const { instanceId } = Object(made.json())
  t.same(made.json(), { instanceId, definitionId: 'shell', status: 'started' })
  t.match(instanceId, /^[a-z2-7]{20,63}$/, 'at least 96 random bits')
  const path = `/instances/${instanceId}`
  const listed = async () =>
    (Object((await ask('GET /agents/shell/instances')).json()) as { instanceId: string; status: string }[]).find(
      item => item.instanceId === instanceId
    )
  t.same(await listed(), { instanceId, definitionId: 'shell', status: 'started' })
  for (const verb of ['heartbeat', 'suspend', 'suspend'])
    t.same(told(await ask(`POST ${path}/${verb}`)), [204, ''], verb)
  t.match(await listed(), { status: 'suspended' })
  for (const verb of ['resume', 'resume']) t.same(told(await ask(`POST ${path}/${verb}`)), [204, ''], verb)
  t.match(await listed(), { status: 'started' })
  t.match(told(await ask(`GET ${path}`)), [200, { instanceId, epoch: 1, ownerLive: true, owner: { pid: Number } }])
  t.match(told(await ask(`POST ${path}/chat`, { body: { message: 'hello' } })), [501, { error: /no model/ }])
  t.same(told(await ask(`DELETE ${path}`)), [204, ''])
  const unknown = [404, { error: 'Instance not found' }]
  t.same(told(await ask(`DELETE ${path}`)), unknown)
  t.same(told(await ask(`GET ${path}`)), unknown)
  for (const verb of ['heartbeat', 'suspend', 'resume', 'chat', 'chat/stream', 'steer']) {
    t.same(told(await ask(`POST ${path}/${verb}`, { body: { message: 'x' } })), unknown, verb)
  }
  t.same(told(await ask(`GET ${path}/messages`)), unknown)
  t.equal(await listed(), undefined)
})

t.test('a client chooses an id once, and again after it was deleted', async t => {
  const create = async (instanceId: unknown) =>
    told(await ask('POST /agents/shell/instances', { body: { instanceId } }))
  t.match(await create('mine'), [201, { instanceId: 'mine' }])
  t.same(await create('mine'), [409, { error: 'Instance already exists: mine' }])
  await cluster.session('mine').shell('echo old > file')
  t.equal((await ask('DELETE /instances/mine')).status, 204)
  t.match(await create('mine'), [201, { instanceId: 'mine' }])
  t.equal(await cluster.session('mine').run('ls'), '', 'nothing of the deleted one comes back')
  t.match(await create('a'.repeat(63)), [201, { instanceId: 'a'.repeat(63) }])
  t.match(await create('0'), [201, { instanceId: '0' }])
  for (const bad of ['', 'A', '../x', 'a/b', 'a b', 'ü', '-', 'a'.repeat(64), 'a\n', 7, null, {}]) {
    const [status, body] = await create(bad)
    t.equal(status, 400, JSON.stringify(bad))
    t.match(body, { error: String })
  }
  for (const target of [
    '/instances/..%2Fmine',
    '/instances/MINE',
    '/instances/%6dine',
    '/instances/',
    '/instances/a.b'
  ]) {
    t.same(told(await ask(`GET ${target}`)), [404, { error: 'Instance not found' }], target)
  }
  // One identity is checked and the same one is used.
  const crossed = await ask('GET /instances/mine', { headers: { 'x-sandbox-id': 'sandbox-1' } })
  t.equal(crossed.status, 400)
  t.notMatch(crossed.text, /"mine"/)
})
