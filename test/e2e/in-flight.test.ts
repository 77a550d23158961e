import { once } from 'node:events'
import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { Cluster, until } from './fixtures/cluster.ts'
import { shellCommand } from './fixtures/session-client.ts'

t.test('a command in flight is answered 502 when its pod dies, and the next one goes on elsewhere', async t => {
  const cluster = await Cluster.start(t, { pods: 2, podFlags: { durability: 'sync' } })
  const session = await cluster.create()
  await session.shell('echo kept > file')
  const owner = await cluster.ownerOf(session)
  const started = runsUntilKilled(session.send.bind(session))
  await started.first
  const inFlight = session.tryRun(shellCommand('touch started; sleep 30'))
  await until('the command runs', async () => (await session.shell('ls')).includes('started'))
  owner.signal('SIGKILL')
  const answer = await inFlight
  t.equal(answer.status, 502)
  const text = `The pod of this session broke off; the request may or may not have had an effect: ${session.id}`
  t.same(answer.json(), { detail: text })
  await t.rejects(started.done, 'a stream that was cut does not look complete')
  t.notMatch(started.text(), /"exit"/)
  t.equal(await session.run('cat file'), 'kept\n')
})

t.test('a download that is cut does not look complete', async t => {
  const cluster = await Cluster.start(t, { pods: 2, podFlags: { durability: 'sync' } })
  const session = await cluster.create()
  await session.shell('head -c 64M /dev/zero > big')
  const { hostname, port } = new URL(cluster.url)
  const request = get({ hostname, port, path: '/download/big', headers: { 'x-sandbox-id': session.id }, agent: false })
  const [response]: IncomingMessage[] = await once(request, 'response')
  const owner = await cluster.ownerOf(session)
  let bytes = 0
  response?.on('data', (piece: Buffer) => {
    bytes += piece.length
    if (bytes === piece.length) {
      response.pause()
      owner.signal('SIGKILL')
      void owner.exit.then(() => response.resume())
    }
  })
  await t.rejects(once(response!, 'end'), { code: 'ECONNRESET' })
  t.notOk(response?.complete)
  t.ok(bytes < 64 * 1024 * 1024, `${bytes} bytes came`)
  t.equal(await session.run('stat -c %s big'), '67108864\n')
})

t.test('what was answered is done once, what failed at most once, over five kills', async t => {
  const cluster = await Cluster.start(t, { podFlags: { durability: 'sync' } })
  const session = await cluster.create()
  const answered: number[] = []
  const failed: number[] = []
  let lastLines = 0
  let next = 0
  const over = new AbortController()
  const client = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const number = ++next
      const answer = await session.tryRun(shellCommand(`echo ${number} >> log; wc -l < log`))
      if (answer.status === 200) {
        answered.push(number)
        const lines = Number(Object(answer.json()).stdout)
        if (lines <= lastLines) t.fail(`request ${number} saw ${lines} lines after ${lastLines}`)
        lastLines = lines
      } else {
        failed.push(number)
        if (answer.status !== 502) t.fail(`request ${number}: ${answer.status} ${answer.text}`)
      }
    }
  }
  const running = client()
  for (let kill = 0; kill < 5; kill++) {
    const before = answered.length
    await until('20 more answers', () => answered.length > before + 20)
    const owner = await cluster.ownerOf(session)
    owner.signal('SIGKILL')
    await owner.exit
    await cluster.addPod()
  }
  over.abort()
  await running
  const log = (await session.run('cat log')).trim().split('\n').map(Number)
  t.equal(new Set(log).size, log.length, 'nothing was done twice')
  t.same(
    log,
    log.toSorted((a, b) => a - b),
    'nothing was done out of order'
  )
  const done = new Set(log)
  t.same(
    answered.filter(number => !done.has(number)),
    [],
    'nothing that was answered is lost'
  )
  // One may be under way when the pod dies, and the next may be sent before the system has closed the dead process's connections.
  t.ok(failed.length <= 10, `${failed.length} of ${next} requests failed, at most two a kill`)
})

/** Starts a stream that goes on until its pod is killed. */
function runsUntilKilled(send: (target: string, options: object) => Promise<unknown>) {
  const pieces: string[] = []
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const done = send('POST /execute/stream', {
    body: { command: shellCommand('while :; do echo tick; sleep 0.05; done') },
    onData: (piece: string) => {
      pieces.push(piece)
      if (pieces.length >= 3) resolve()
    }
  })
  done.catch(() => undefined)
  return { first, done, text: () => pieces.join('') }
}
