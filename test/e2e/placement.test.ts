import t from 'tap'
import type { Test } from 'tap'
import { Agent } from 'undici'
import { Cluster } from './fixtures/cluster.ts'

const CREATES = 1000
const AT_ONCE = 16

for (const allocation of ['round-robin', 'least-loaded']) {
  t.test(`${CREATES} creates over 4 pods by ${allocation}, with lookups in between: a quarter each`, t =>
    createEvenly(t, allocation)
  )
}

async function createEvenly(t: Test, allocation: string): Promise<void> {
  const cluster = await Cluster.start(t, {
    pods: 4,
    gatewayFlags: { allocation },
    podFlags: { logLevel: 'warn' }
  })
  const agent = new Agent({ connections: AT_ONCE })
  t.teardown(() => agent.close())
  const ask = async (method: 'GET' | 'POST', path: string, id?: string): Promise<{ status: number; body: unknown }> => {
    const headers = id === undefined ? {} : { 'x-sandbox-id': id }
    const response = await agent.request({ origin: cluster.url, method, path, headers })
    return { status: response.statusCode, body: await response.body.json() }
  }
  const ids: string[] = []
  let begun = 0
  const client = async (): Promise<void> => {
    while (begun++ < CREATES) {
      const { status, body } = await ask('POST', '/agents/shell/instances')
      if (status !== 201) t.fail(`create: ${status} ${JSON.stringify(body)}`)
      const id = String(Object(body).instanceId)
      ids.push(id)
      // What a shared cursor would be moved by.
      if (ids.length % 5 === 0) await ask('GET', `/instances/${id}`)
      if (ids.length % 7 === 0) await ask('GET', '/', id)
      if (ids.length % 50 === 0) await ask('GET', '/', 'nobody')
      if (ids.length % 100 === 0) await ask('GET', '/agents')
    }
  }
  const startedAtMs = performance.now()
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  t.comment(`${Math.round(performance.now() - startedAtMs)} ms`)
  t.equal(new Set(ids).size, CREATES)
  const counts = new Map<string, number>()
  for (const { owner } of await cluster.registry.readSessions(ids)) counts.set(owner, (counts.get(owner) ?? 0) + 1)
  t.same(Object.fromEntries(counts), { 'pod-1': 250, 'pod-2': 250, 'pod-3': 250, 'pod-4': 250 })
}
