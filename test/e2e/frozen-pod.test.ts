import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Teardown } from '../fixtures/redis-server.ts'
import { call } from '../pod/fixtures/http-call.ts'
import type { Answer } from '../pod/fixtures/http-call.ts'
import type { Child } from './fixtures/child.ts'
import { Cluster, until } from './fixtures/cluster.ts'
import { shellCommand } from './fixtures/session-client.ts'
import type { SessionClient } from './fixtures/session-client.ts'

const LEASE_MS = 2000
const SHORT_LEASE = { lease: '2s', heartbeat: '500ms' }
const POD_FLAGS = { leaseMargin: '300ms' }

t.test(
  'a frozen owner loses its sessions with its lease, and woken up it serves and writes nothing of them',
  async t => {
    const cluster = await Cluster.start(t, { shared: SHORT_LEASE, podFlags: { ...POD_FLAGS, backupDelay: '1s' } })
    const session = await cluster.create()
    await session.shell('echo first > file')
    await until('the backup is made', async () => (await manifests(cluster, session)).length > 1)
    const old = await cluster.ownerOf(session)
    // Answered, but not in the store yet: the pod is frozen with a backup to be made.
    await session.shell('echo unsaved > file')
    const open = await Promise.all(Array.from({ length: 10 }, () => openConnection(t, old)))
    old.signal('SIGSTOP')
    const frozenAtMs = performance.now()
    const [read, write] = await Promise.all([session.send('GET /download/file'), session.tryRun('touch written')])
    const heldMs = performance.now() - frozenAtMs
    t.comment(`held for ${Math.round(heldMs)} ms`)
    t.equal(read.status, 200, 'a request that may be sent again was held and went on')
    t.equal(read.text, 'first\n')
    t.equal(write.status, 502, 'one that may have had an effect is not sent again')
    t.ok(heldMs < LEASE_MS + 2500, 'not much longer than the lease')
    const saved = (await manifests(cluster, session, 2)).length
    await session.shell('echo second > file')
    await until('the new owner has saved', async () => (await manifests(cluster, session, 2)).length > saved)
    const before = await manifests(cluster, session, 1)

    const direct = asGateway(old, session, 1)
    // They wait in the frozen pod's sockets, so they are the first thing that it sees when it wakes up.
    const waiting = open.map((socket, at) =>
      statusLineOf(socket, requestFor(session, at % 2 === 0 ? 'GET /download/file' : 'POST /execute'))
    )
    await until('the system has taken them', () => open.every(socket => socket.writableLength === 0))
    old.signal('SIGCONT')
    for (const statusLine of await Promise.all(waiting)) t.match(statusLine, /^HTTP\/1\.1 (421|503) /, 'it refuses')
    await until('it has dropped the session', async () => (await direct('GET /download/file')).status === 421)
    const refused = await direct('POST /execute', { command: shellCommand('echo stale > file') })
    t.equal(refused.status, 421)
    t.match(refused.headers, { 'x-fairlead-refused': 'not-owner', 'x-fairlead-epoch': '0' })
    t.match(old.log, /session lost/)
    t.same(await manifests(cluster, session, 1), before, 'nothing was written to the epoch that it owned')
    t.equal(await session.run('cat file'), 'second\n')
    const { epoch, memberId } = await session.explain()
    t.equal(epoch, 2)
    t.not(memberId, old.name)

    // What is in the store is the new owner's: yet another pod restores it.
    const next = await cluster.ownerOf(session)
    await next.kill()
    t.equal(await session.run('cat file'), 'second\n')
  }
)

t.test('a pod that is frozen for less than its lease keeps its sessions', async t => {
  const cluster = await Cluster.start(t, { shared: SHORT_LEASE, podFlags: POD_FLAGS })
  const session = await cluster.create()
  const owner = await cluster.ownerOf(session)
  owner.signal('SIGSTOP')
  const writes = [1, 2, 3].map(number => session.tryRun(shellCommand(`echo ${number} >> file`)))
  const thaw = setTimeout(() => owner.signal('SIGCONT'), 500)
  for (const answer of await Promise.all(writes)) t.equal(answer.status, 200)
  clearTimeout(thaw)
  t.equal((await session.run('cat file')).length, 6)
  t.match(await session.explain(), { epoch: 1, memberId: owner.name })
})

t.test('a command that runs while its pod is frozen past its lease is not vouched for', async t => {
  const cluster = await Cluster.start(t, { shared: SHORT_LEASE, podFlags: POD_FLAGS })
  const session = await cluster.create()
  const old = await cluster.ownerOf(session)
  // Straight to the pod: a gateway would have given up.
  const command = shellCommand('touch running; sleep 1')
  const running = asGateway(old, session, 1)('POST /execute', { command }).then(({ status }) => status)
  await until('it runs', async () => (await session.run('ls')).includes('running'))
  old.signal('SIGSTOP')
  await until('another owner', async () => {
    return (await session.send('GET /')).text.includes('"epoch":2')
  })
  old.signal('SIGCONT')
  t.equal(await running, 503)
})

/** Sends requests straight to a pod, as a gateway does that believes in an epoch. */
function asGateway(pod: Child, session: SessionClient, epoch: number) {
  const headers = { 'x-fairlead-session': session.id, 'x-fairlead-epoch': String(epoch) }
  return (methodAndTarget: string, body?: object): Promise<Answer> =>
    call(pod.url, methodAndTarget, {
      headers,
      signal: AbortSignal.timeout(20_000),
      ...(body !== undefined && { body })
    })
}

/** A connection to a pod that the pod has taken. */
async function openConnection(t: Teardown, pod: Child): Promise<Socket> {
  const socket = connect(Number(new URL(pod.url).port), '127.0.0.1')
  t.teardown(async () => {
    socket.destroy()
  })
  const statusLine = await statusLineOf(socket, 'GET /healthz HTTP/1.1\r\nHost: pod\r\n\r\n')
  if (statusLine !== 'HTTP/1.1 200 OK') throw new Error(statusLine)
  return socket
}

async function statusLineOf(socket: Socket, request: string): Promise<string> {
  socket.write(request)
  const [data]: unknown[] = await once(socket, 'data', { signal: AbortSignal.timeout(20_000) })
  return String(data).split('\r\n', 1)[0] ?? ''
}

/** A request as a gateway sends it that believes in epoch 1. */
function requestFor(session: SessionClient, line: string): string {
  const body = line.startsWith('POST') ? JSON.stringify({ command: shellCommand('echo stale > file') }) : ''
  const fields = ['Host: pod', `X-Fairlead-Session: ${session.id}`, 'X-Fairlead-Epoch: 1']
  return [`${line} HTTP/1.1`, ...fields, `Content-Length: ${body.length}`, '', body].join('\r\n')
}

/** Everything that the store holds of a session, of one epoch or of all. */
async function manifests(cluster: Cluster, session: SessionClient, epoch?: number): Promise<string[]> {
  const directory = join(cluster.store, 'sessions', session.id)
  const files = await readdir(directory, { recursive: true }).catch(() => [])
  const wanted = files.filter(file => epoch === undefined || Number(file.split('/')[0]) === epoch)
  return wanted.filter(file => file.endsWith('.json')).toSorted()
}
