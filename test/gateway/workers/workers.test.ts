import t from 'tap'
import { readFileSync } from 'node:fs'
import { System, send, until } from '../fixtures/system.ts'
import { restartDelay } from '../../../gateway/workers/restart-delay.ts'
import type { RunningGateway } from '../../../gateway/main.ts'

/** Direct children of this process that run the worker's entry. */
function workerPids(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return children.map(Number).filter(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('/workers/worker.'))
}

async function metric(gateway: RunningGateway, line: string): Promise<number> {
  const { text } = await send(gateway.adminUrl, { path: '/metrics' })
  return Number(
    text
      .split('\n')
      .find(row => row.startsWith(`${line} `))
      ?.split(' ')
      .at(-1) ?? Number.NaN
  )
}

t.test('two workers share the port, add up their metrics, and one that crashes comes back', async t => {
  const s = await System.start()
  t.teardown(() => s.close())
  await s.pod('pod-a')
  const gateway = await s.gateway({ workers: 2 })
  t.equal((await send(gateway.adminUrl, { path: '/readyz' })).text, 'ok')
  const pids = workerPids()
  t.equal(pids.length, 2)
  const id = await s.create(gateway)
  for (let i = 0; i < 40; i++) t.equal((await send(gateway.url, { headers: { 'X-Sandbox-ID': id } })).status, 200)
  const total = 'fairlead_gateway_requests_total{route="sandbox",status="2xx",outcome="ok"}'
  t.equal(await metric(gateway, total), 40)
  t.equal(await metric(gateway, 'fairlead_gateway_workers'), 2)
  t.equal(await metric(gateway, 'fairlead_gateway_live_members'), 1, 'what all see alike is not added up')
  t.match(JSON.parse((await send(gateway.adminUrl, { path: '/members' })).text), [{ id: 'pod-a' }])
  t.match(JSON.parse((await send(gateway.adminUrl, { path: '/sessions' })).text), { sessions: [{ id }], cursor: null })

  process.kill(pids[0] ?? 0, 'SIGKILL')
  await until(async () => (await metric(gateway, 'fairlead_gateway_workers')) === 1)
  t.equal((await send(gateway.url, { headers: { 'X-Sandbox-ID': id } })).status, 200)
  await until(
    async () => workerPids().length === 2 && (await send(gateway.adminUrl, { path: '/readyz' })).text === 'ok'
  )
  t.equal(await metric(gateway, 'fairlead_gateway_worker_restarts_total'), 1)

  const startedAtMs = performance.now()
  await gateway.close()
  t.ok(performance.now() - startedAtMs < 3000)
  t.same(workerPids(), [])
})

t.test('a start that fails leaves no worker behind', async t => {
  const s = await System.start()
  t.teardown(() => s.close())
  const gateway = await s.gateway()
  const port = Number(new URL(gateway.url).port)
  await t.rejects(s.gateway({ workers: 2, port }), /EADDRINUSE/)
  t.same(workerPids(), [])
})

t.test('a worker that keeps crashing is started ever later, up to ten seconds', async t => {
  const delays = []
  let crashes = 0
  for (let i = 0; i < 9; i++) {
    const next = restartDelay({ ranMs: 10, crashesBefore: crashes })
    delays.push(next.delayMs)
    crashes = next.crashes
  }
  t.same(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
  t.same(restartDelay({ ranMs: 60_000, crashesBefore: 9 }), { delayMs: 100, crashes: 1 })
})
