import t from 'tap'
import { System, send } from '../fixtures/system.ts'
import type { Echo } from '../fixtures/fake-pod.ts'

const system = await System.start()
t.teardown(() => system.close())
await system.pod('pod-a')
await system.pod('pod-b')
const gateway = await system.gateway()
const other = await system.gateway()
const id = await system.create(gateway)
const echo = (text: string) => JSON.parse(text) as Echo

t.test('a session is reached by header and by path, through any gateway', async t => {
  const requests = [{ path: '/execute?a=1', headers: { 'X-Sandbox-ID': id } }, { path: `/instances/${id}/messages` }]
  for (const { url } of [gateway, other]) {
    for (const request of requests) {
      const reply = await send(url, { method: 'POST', body: 'hello', ...request })
      t.equal(reply.status, 200)
      t.match(echo(reply.text), { session: id, epoch: 1, path: request.path, method: 'POST', body: 'hello' })
    }
  }
})

t.test('the header wins over the path', async t => {
  const second = await system.create(gateway)
  const reply = await send(gateway.url, { path: `/instances/${second}/x`, headers: { 'X-Sandbox-ID': id } })
  t.match(echo(reply.text), { session: id, path: `/instances/${second}/x` })
})

t.test('paths pass byte for byte', async t => {
  const path = `/instances/${id}/a/../b/%2F%zz//c?q=%20&r=..`
  const reply = await send(gateway.url, { path })
  t.equal(echo(reply.text).path, path)
})

t.test("what a client says in the gateway's own fields is dropped", async t => {
  const headers = {
    'X-Sandbox-ID': id,
    'X-Fairlead-Session': 'other',
    'X-Fairlead-Epoch': '99',
    'X-Fairlead-Refused': 'fenced'
  }
  const { headers: seen, epoch } = echo((await send(gateway.url, { headers })).text)
  t.equal(epoch, 1)
  t.equal(seen['x-fairlead-session'], id)
  t.equal(seen['x-fairlead-epoch'], '1')
  t.equal(seen['x-fairlead-refused'], undefined)
  t.equal(seen['x-sandbox-id'], id, "the dialect's own fields pass")
})

t.test('bad X-Sandbox-* fields get the answers of agent-sandbox, known session or not', async t => {
  const cases = [
    [{}, 'X-Sandbox-ID header is required.'],
    [{ 'X-Sandbox-ID': 'Not-A-Label' }, 'Invalid sandbox ID format.'],
    [{ 'X-Sandbox-ID': id, 'X-Sandbox-Namespace': 'a_b' }, 'Invalid namespace format.'],
    [{ 'X-Sandbox-ID': id, 'X-Sandbox-Port': '0' }, 'Invalid port format.'],
    [{ 'X-Sandbox-ID': id, 'X-Sandbox-Pod-IP': '169.254.169.254' }, 'Invalid target IP address.']
  ] as const
  for (const [headers, detail] of cases) {
    const reply = await send(gateway.url, { path: '/execute', headers })
    t.equal(reply.status, 400)
    t.equal(reply.text, JSON.stringify({ detail }))
    t.equal(reply.headers['content-type'], 'application/json')
  }
})

t.test('valid hints do not change where a session is', async t => {
  const headers = {
    'X-Sandbox-ID': id,
    'X-Sandbox-Namespace': 'prod',
    'X-Sandbox-Port': '9999',
    'X-Sandbox-Pod-IP': '10.9.9.9',
    'X-Sandbox-UID': 'u'
  }
  const reply = await send(gateway.url, { headers })
  t.equal(reply.status, 200)
  t.equal(echo(reply.text).session, id)
})

t.test("an unknown session is 404 in the client's dialect, with an address hint too", async t => {
  const byHeader = await send(gateway.url, { headers: { 'X-Sandbox-ID': 'nobody' } })
  t.equal(byHeader.status, 404)
  t.equal(byHeader.text, '{"detail":"Sandbox not found: nobody"}')
  const hinted = await send(gateway.url, { headers: { 'X-Sandbox-ID': 'nobody', 'X-Sandbox-Pod-IP': '10.0.0.1' } })
  t.equal(hinted.status, 404)
  const byPath = await send(gateway.url, { path: '/instances/nobody/chat', method: 'POST', body: '{}' })
  t.equal(byPath.status, 404)
  t.equal(byPath.text, '{"error":"Instance not found"}')
})

t.test('an id that is not the label it stands for is unknown, however it decodes', async t => {
  const encoded = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`
  for (const path of [
    `/instances/${encoded}/x`,
    '/instances/../x',
    `/instances//${id}`,
    `/instances/${id.toUpperCase()}/x`
  ]) {
    const reply = await send(gateway.url, { path })
    t.equal(reply.status, 404, path)
    t.equal(reply.text, '{"error":"Instance not found"}')
  }
})

t.test('the proxy port has a health check of its own', async t => {
  const reply = await send(gateway.url, { path: '/healthz' })
  t.equal(reply.status, 200)
  t.equal(reply.text, '{"status":"ok"}')
  const other = await send(gateway.url, { path: '/healthz2', headers: { 'X-Sandbox-ID': id } })
  t.equal(echo(other.text).path, '/healthz2')
})

t.test('X-Sandbox-Timeout bounds the wait for an answer; nonsense is ignored', async t => {
  for (const pod of system.pods) pod.owned = request => request.url === '/hang'
  t.teardown(() => {
    for (const pod of system.pods) pod.owned = null
  })
  const late = await send(gateway.url, { path: '/hang', headers: { 'X-Sandbox-ID': id, 'X-Sandbox-Timeout': '0.3' } })
  t.equal(late.status, 504)
  t.equal(late.text, `{"detail":"Timed out waiting for the backend sandbox: ${id}"}`)
  const ignored = await send(gateway.url, { headers: { 'X-Sandbox-ID': id, 'X-Sandbox-Timeout': '-1' } })
  t.equal(ignored.status, 200)
})
