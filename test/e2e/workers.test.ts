import { readFile } from 'node:fs/promises'
import t from 'tap'
import { call } from '../pod/fixtures/http-call.ts'
import { descendants } from '../cli/dev-harness.ts'
import type { Child } from './fixtures/child.ts'
import { Cluster, until } from './fixtures/cluster.ts'
import { Load } from './fixtures/load.ts'

const WORKERS = 2

t.test(
  'a gateway with two workers serves sessions, adds up its metrics and survives the crash of a worker',
  async t => {
    const cluster = await Cluster.start(t, { gatewayFlags: { workers: WORKERS } })
    const { gateway } = cluster
    const workers = await workersOf(gateway)
    t.equal(workers.length, WORKERS)
    const sessions = await Promise.all(Array.from({ length: 8 }, () => cluster.create()))
    const load = new Load(sessions, 4)
    await until('the load runs', () => load.requests >= 200)
    await load.stop()
    t.same(load.failures, [])
    const served = await metric(gateway, 'fairlead_gateway_requests_total', 'route="sandbox"')
    t.equal(served, load.requests, 'each request is counted once, whichever worker served it')
    t.equal(await metric(gateway, 'fairlead_gateway_live_members'), 3, 'what all workers see alike is not added up')

    process.kill(workers[0]!, 'SIGKILL')
    const answers = await Promise.allSettled(Array.from({ length: 60 }, (_, at) => sessions[at % 8]!.run('true')))
    const lost = answers.filter(({ status }) => status === 'rejected').length
    t.ok(lost < 40, `${lost} of 60 were on their way to the worker that died`)
    await until('a new worker', async () => (await workersOf(gateway)).length === WORKERS)
    await until('ready', async () => (await call(gateway.fact('adminUrl'), 'GET /readyz')).text === 'ok')
    t.equal(await metric(gateway, 'fairlead_gateway_worker_restarts_total'), 1)
    const again = new Load(sessions, 4)
    await until('the load runs', () => again.requests >= 200)
    await again.stop()
    t.same(again.failures, [], 'as before')

    const all = await workersOf(gateway)
    gateway.signal('SIGTERM')
    t.same(await gateway.exit, [0, null])
    t.same(await commandLines(all), [], 'no worker is left')
  }
)

t.test('workers end when the process that started them is killed', async t => {
  const cluster = await Cluster.start(t, { pods: 1, gatewayFlags: { workers: WORKERS, shutdownTimeout: '1s' } })
  const workers = await workersOf(cluster.gateway)
  await cluster.gateway.kill()
  await until('they are gone', async () => (await commandLines(workers)).length === 0)
  t.pass()
})

async function workersOf(gateway: Child): Promise<number[]> {
  const pids = await descendants(gateway.pid)
  const lines = await Promise.all(pids.map(async pid => ({ pid, lines: await commandLines([pid]) })))
  return lines.filter(entry => entry.lines[0]?.includes('/workers/worker.')).map(({ pid }) => pid)
}

/** Command lines of those processes that are there. */
async function commandLines(pids: readonly number[]): Promise<string[]> {
  const lines = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter(line => line !== '')
}

/** Sum of a metric's series that have a label. */
async function metric(gateway: Child, name: string, label = ''): Promise<number> {
  const { text } = await call(gateway.fact('adminUrl'), 'GET /metrics')
  const rows = text.split('\n').filter(row => row.startsWith(name) && row.includes(label))
  return rows.reduce((sum, row) => sum + Number(row.split(' ').at(-1)), 0)
}
