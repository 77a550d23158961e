import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { Cluster, until } from './fixtures/cluster.ts'
import type { Child } from './fixtures/child.ts'
import { Load } from './fixtures/load.ts'
import { asResult, shellCommand } from './fixtures/session-client.ts'

const SHUTDOWN_MS = 2000

t.test('a pod that is told to stop under load gives its sessions away: no request fails, no state is lost', async t => {
  const cluster = await Cluster.start(t)
  const sessions = await Promise.all(Array.from({ length: 18 }, () => cluster.create()))
  const load = new Load(sessions, 6)
  for (const name of ['pod-1', 'pod-2']) {
    const before = load.requests
    await until('the load runs', () => load.requests > before + 60)
    const pod = cluster.pods.get(name)!
    pod.signal('SIGTERM')
    t.same(await pod.exit, [0, null])
    t.notMatch(pod.log, /"level":"(error|fatal)"/)
  }
  const before = load.requests
  await until('the load runs on', () => load.requests > before + 60)
  await load.stop()
  t.comment(`${load.requests} requests, slowest ${Math.round(load.slowestMs)} ms`)
  t.same(load.failures, [])
  for (const session of sessions) t.equal((await session.explain()).memberId, 'pod-3')
})

t.test('a draining pod lets a command finish', async t => {
  const cluster = await Cluster.start(t, { pods: 2 })
  const session = await cluster.create()
  const command = session.tryRun(shellCommand('touch running; sleep 2; echo done; touch finished'))
  await until('it runs', async () => (await session.shell('ls')).includes('running'))
  const pod = await cluster.ownerOf(session)
  pod.signal('SIGTERM')
  const answer = await command
  t.equal(answer.status, 200)
  t.equal(asResult(answer).stdout, 'done\n')
  t.same(await pod.exit, [0, null])
  t.match(await session.shell('ls'), /finished/)
})

t.test('a gateway that is told to stop lets requests finish and ends with 0', async t => {
  const cluster = await Cluster.start(t, { pods: 1, gatewayFlags: { shutdownTimeout: '10s' } })
  const session = await cluster.create()
  const command = session.tryRun(shellCommand('touch running; sleep 1; echo done'))
  await until('it runs', async () => (await session.shell('ls')).includes('running'))
  const idle = connect(Number(new URL(cluster.url).port), '127.0.0.1')
  idle.write(`GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n`)
  await once(idle, 'data')
  const startedAtMs = performance.now()
  cluster.gateway.signal('SIGTERM')
  await until('not ready any more', async () => (await ready(cluster.gateway)) !== 'ok')
  const answer = await command
  t.equal(answer.status, 200)
  t.equal(asResult(answer).stdout, 'done\n')
  t.same(await cluster.gateway.exit, [0, null])
  t.ok(performance.now() - startedAtMs < 5000, 'at once after the last request')
  idle.destroy()
})

t.test('neither an open WebSocket nor an endless stream keeps a gateway from ending', async t => {
  const cluster = await Cluster.start(t, { pods: 1, gatewayFlags: { shutdownTimeout: `${SHUTDOWN_MS}ms` } })
  const session = await cluster.create()
  const pieces: string[] = []
  const stream = session.send('POST /execute/stream', {
    body: { command: shellCommand('while :; do echo tick; sleep 0.05; done') },
    onData: piece => pieces.push(piece)
  })
  const cut = t.rejects(stream, 'the stream does not look complete')
  const socket = await webSocketThrough(t, cluster)
  await until('the stream runs', () => pieces.length > 2)
  const startedAtMs = performance.now()
  const closed = once(socket, 'close')
  cluster.gateway.signal('SIGTERM')
  const [code]: unknown[] = await closed
  t.equal(code, 1001)
  t.same(await cluster.gateway.exit, [0, null])
  const tookMs = performance.now() - startedAtMs
  t.ok(tookMs < SHUTDOWN_MS + 3000, `it took ${Math.round(tookMs)} ms`)
  await cut
})

async function ready(gateway: Child): Promise<string> {
  const answer = await fetch(`${gateway.fact('adminUrl')}/readyz`).catch(() => null)
  return answer === null ? 'gone' : answer.text()
}

/** An open WebSocket to a session whose pod speaks it: a member written by somebody else, since our pods have no such endpoint. */
async function webSocketThrough(t: Tap, cluster: Cluster): Promise<WebSocket> {
  const http = createServer()
  const echo = new WebSocketServer({ server: http })
  echo.on('connection', socket => socket.on('message', data => socket.send(data)))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  t.teardown(() => {
    for (const client of echo.clients) client.terminate()
    http.close()
  })
  const { port } = http.address() as AddressInfo
  const member = { id: 'echo', bootId: 'boot', address: `127.0.0.1:${port}`, load: 0, state: 'ready' as const }
  await cluster.registry.heartbeat(
    { ...member, pid: process.pid, agents: ['echo'], capacity: 0 },
    { leaseMs: 60_000, first: true }
  )
  await cluster.registry.claim({ id: 'socket', agent: 'echo' }, { member, settleMs: 0 })
  const socket = new WebSocket(cluster.url.replace('http', 'ws'), { headers: { 'x-sandbox-id': 'socket' } })
  await once(socket, 'open')
  socket.send('hello')
  const [data]: unknown[] = await once(socket, 'message')
  t.equal(String(data), 'hello')
  return socket
}

type Tap = Pick<typeof t, 'teardown' | 'equal'>
