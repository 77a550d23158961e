import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { as, makeGround } from '../fixtures/ground.ts'
import { call } from '../fixtures/http-call.ts'

const ground = await makeGround(t)
const agents = join(ground.root, 'agents')
await mkdir(agents)
await writeFile(join(agents, 'coder.md'), '---\nname: Coder\nmodel: big\nprovider: acme\ngreeting: Hi\n---\nPrompt')
const pod = await ground.pod('one', { agentsDirectory: agents })

const SHELL = {
  id: 'shell',
  name: 'shell',
  description: 'A working directory and commands, without a model',
  model: null,
  provider: null,
  tools: ['bash', 'read_file', 'write_file', 'edit_file'],
  delegates: [],
  greeting: null
}

t.test('agent definitions', async t => {
  const all = await call(pod.url, 'GET /agents')
  t.match(all.json(), [SHELL, { id: 'coder', model: 'big', greeting: 'Hi' }])
  t.notMatch(all.text, 'Prompt', 'the prompt stays here')
  t.same((await call(pod.url, 'GET /agents/shell')).json(), SHELL)
  const unknown = await call(pod.url, 'GET /agents/nobody')
  t.equal(unknown.status, 404)
  t.same(unknown.json(), { error: 'Agent definition not found' })
  t.match((await ground.registry.readMembers(['one']))[0], { record: { agents: ['shell', 'coder'] } })
})

t.test('create, list, delete', async t => {
  const made = await call(pod.url, 'POST /agents/coder/instances', { body: { instanceId: 'my-coder' } })
  t.equal(made.status, 201)
  t.same(made.json(), { instanceId: 'my-coder', definitionId: 'coder', status: 'started' })
  t.same((await call(pod.url, 'GET /agents/coder/instances')).json(), [made.json()])
  t.same((await call(pod.url, 'GET /agents/shell/instances')).json(), [])
  const again = await call(pod.url, 'POST /agents/coder/instances', { body: { instanceId: 'my-coder' } })
  t.equal(again.status, 409)
  t.match(again.json(), { error: /taken/ })
  t.equal((await call(pod.url, 'DELETE /instances/my-coder')).status, 204)
  t.same((await call(pod.url, 'GET /agents/coder/instances')).json(), [])
  const anew = await call(pod.url, 'POST /agents/coder/instances', { body: { instanceId: 'my-coder' } })
  t.equal(anew.status, 201)
  const { record } = await ground.registry.lookup('my-coder')
  t.equal(record?.epoch, 2, 'the epoch never goes back')
})

t.test('ten creates of one id at once: one wins', async t => {
  const creates = Array.from({ length: 10 }, () =>
    call(pod.url, 'POST /agents/shell/instances', { body: { instanceId: 'popular' } })
  )
  const statuses = (await Promise.all(creates)).map(answer => answer.status).toSorted((a, b) => a - b)
  t.same(statuses, [201, ...Array<number>(9).fill(409)])
})

t.test('creates without an id do not share a session', async t => {
  const creates = Array.from({ length: 5 }, () => call(pod.url, 'POST /agents/shell/instances'))
  const ids = (await Promise.all(creates)).map(answer => String(Object(answer.json())['instanceId']))
  t.equal(new Set(ids).size, 5)
})

for (const id of ['../../etc', 'A', 'a_b', '', '-a', 'a'.repeat(64), 'a/b', 'a\0']) {
  t.test(`the id ${JSON.stringify(id.slice(0, 10))} is refused at every door`, async t => {
    const created = await call(pod.url, 'POST /agents/shell/instances', { body: { instanceId: id } })
    t.equal(created.status, 400)
    const asked = await call(pod.url, `GET /instances/${encodeURIComponent(id)}`)
    t.ok(asked.status === 400 || asked.status === 404)
    if (id.includes('\0')) return
    const executed = await call(pod.url, 'POST /execute', {
      headers: { 'x-sandbox-id': id },
      body: { command: 'true' }
    })
    t.equal(executed.status, 400)
    t.same(executed.json(), { detail: 'Invalid sandbox ID format.' })
  })
}

t.test('a request that names two sessions is refused', async t => {
  const session = await ground.create(pod, 'alice')
  t.equal((await as(pod, session, 'GET /instances/alice')).status, 200)
  t.equal((await as(pod, session, 'GET /instances/bob')).status, 400)
  t.equal((await call(pod.url, 'GET /instances/bob', { headers: { 'x-sandbox-id': 'alice' } })).status, 400)
  const create = { headers: { 'x-fairlead-session': 'x', 'x-fairlead-epoch': '1' }, body: { instanceId: 'y' } }
  t.equal((await call(pod.url, 'POST /agents/shell/instances', create)).status, 400)
  // The gateway's word goes first: a client's own header does not lead elsewhere.
  const both = await as(pod, session, 'GET /', { headers: { 'x-sandbox-id': 'bob' } })
  t.match(both.json(), { sandbox: 'alice' })
})

t.test('no header, no session', async t => {
  const answer = await call(pod.url, 'POST /execute', { body: { command: 'true' } })
  t.equal(answer.status, 400)
  t.same(answer.json(), { detail: 'X-Sandbox-ID header is required.' })
})

t.test('chat is not there yet, and says why', async t => {
  const shell = await ground.create(pod, 'quiet')
  for (const target of [
    'POST /instances/quiet/chat',
    'POST /instances/quiet/chat/stream',
    'POST /instances/quiet/steer',
    'GET /instances/quiet/messages'
  ]) {
    const answer = await as(pod, shell, target, target.startsWith('POST') ? { body: { message: 'hi' } } : {})
    t.equal(answer.status, 501, target)
    t.match(answer.json(), { error: /"shell" has no model/ })
  }
  const coder = await call(pod.url, 'POST /instances/my-coder/chat', { body: { message: 'hi' } })
  t.equal(coder.status, 501)
  t.match(coder.json(), { error: /names the model "big"/ })
  t.same((await call(pod.url, 'POST /instances/nobody/chat')).json(), { error: 'Instance not found' })
})

t.test('health, readiness, metrics and unknown paths', async t => {
  t.same((await call(pod.url, 'GET /healthz')).json(), { status: 'ok' })
  t.same((await call(pod.url, 'GET /readyz')).json(), { status: 'ok' })
  t.match((await call(pod.url, 'GET /')).json(), { status: 'ok', memberId: 'one' })
  const metrics = await call(pod.url, 'GET /metrics')
  t.match(metrics.text, /^fairlead_pod_sessions\{state="active"\} \d+$/m)
  t.match(metrics.text, /^fairlead_pod_lease_good 1$/m)
  t.equal((await call(pod.url, 'GET /nowhere')).status, 404)
  const method = await call(pod.url, 'PUT /execute')
  t.equal(method.status, 405)
  t.equal(method.headers.allow, 'POST')
})
