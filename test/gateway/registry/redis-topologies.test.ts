import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { connectClient, memberRecord, startPod, startRegistry, until } from '../../fixtures/registry-harness.ts'
import { freePort, startRedis } from '../../fixtures/redis-server.ts'
import type { RedisServer, Teardown } from '../../fixtures/redis-server.ts'

const slotOf = createRequire(import.meta.url)('cluster-key-slot') as (key: string) => number

function bare(t: Teardown, server: RedisServer): Redis {
  const redis = new Redis(server.url, { lazyConnect: false })
  redis.on('error', () => undefined)
  t.teardown(async () => redis.disconnect())
  return redis
}

/** A sentinel that watches a master alone and is quick to act. */
async function startSentinel(t: Teardown, master: RedisServer): Promise<number> {
  const port = await freePort()
  const file = join(master.directory, 'sentinel.conf')
  const settings = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${master.directory}`,
    `sentinel monitor mymaster 127.0.0.1 ${master.port} 1`,
    'sentinel down-after-milliseconds mymaster 300',
    'sentinel failover-timeout mymaster 1000'
  ]
  await writeFile(file, settings.join('\n'))
  const child = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  return port
}

void test('through sentinels: a failover moves no session, and known ones go on', async t => {
  const master = await startRedis(t)
  const replica = await startRedis(t, { settled: false, args: ['--replicaof', '127.0.0.1', String(master.port)] })
  const onReplica = bare(t, replica)
  await until(
    async () => (await onReplica.info('replication')).includes('master_link_status:up'),
    'the replica follows'
  )
  const sentinelPort = await startSentinel(t, master)
  const url = `redis+sentinel://127.0.0.1:${sentinelPort}/mymaster`
  const sentinel = new Redis(sentinelPort, '127.0.0.1')
  sentinel.on('error', () => undefined)
  t.teardown(async () => sentinel.disconnect())
  await until(async () => {
    const replicas = JSON.stringify(await sentinel.call('SENTINEL', 'REPLICAS', 'mymaster').catch(() => []))
    return replicas.includes('"flags","slave"') && replicas.includes('"master-link-status","ok"')
  }, 'the sentinel knows a good replica')

  const registry = await startRegistry(t, url)
  const pods = await Promise.all(['pod-1', 'pod-2'].map(id => startPod(t, url, { id, leaseMs: 10_000 })))
  await until(() => registry.members().length === 2, 'two members')
  const ids: string[] = []
  for (let n = 0; n < 20; n++) {
    const { record, member } = await registry.place('shell')
    pods.find(pod => pod.record.id === member.id)?.sessions.set(record.id, record)
    ids.push(record.id)
  }
  let missed = 0
  const timer = setInterval(() => (missed += ids.filter(id => registry.cached(id) === undefined).length), 5)
  t.teardown(async () => clearInterval(timer))
  await master.kill()
  await until(() => !registry.available, 'the gateway noticed')
  // A sentinel that the machine did not let run for two seconds does nothing for thirty (TILT mode).
  await until(() => registry.available, 'the replica was promoted and found', 60_000)
  t.match(await onReplica.info('replication'), /role:master/)
  const client = await connectClient(t, url)
  await until(async () => {
    const { rows } = await client.peek(ids)
    return rows.every((row, at) => row?.epoch === 1 && row.owner === registry.cached(ids[at] ?? '')?.member.id)
  }, 'every record is there')
  await until(async () => (await registry.find('nobody').catch(() => undefined)) === null, 'unknown is believed again')
  t.ok(await registry.place('shell', 'chosen'))
  t.equal(missed, 0)
  t.equal(registry.members().length, 2)
})

void test('on a cluster: every script works, every key is in one slot, and a restart is survived', async t => {
  const clusterPort = String(await freePort())
  const args = [
    '--cluster-announce-ip',
    '127.0.0.1',
    '--cluster-enabled',
    'yes',
    '--cluster-port',
    clusterPort,
    '--appendonly',
    'yes',
    '--appendfsync',
    'always'
  ]
  const server = await startRedis(t, { settled: false, args })
  const redis = bare(t, server)
  await redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  await until(async () => String(await redis.call('CLUSTER', 'INFO')).includes('cluster_state:ok'), 'the cluster is up')
  const url = `redis+cluster://127.0.0.1:${server.port}`

  const client = await connectClient(t, url)
  await client.markSettled()
  const registry = await startRegistry(t, url, { sweepIntervalMs: 20 })
  const pod = await startPod(t, url, { id: 'pod-1', leaseMs: 10_000 })
  await client.heartbeat(memberRecord('pod-2'), { leaseMs: 60_000, first: true })
  await until(() => registry.members().length === 2, 'two members')
  const placed = []
  for (let n = 0; n < 20; n++) placed.push(await registry.place('shell'))
  for (const { record, member } of placed) if (member.id === 'pod-1') pod.sessions.set(record.id, record)
  const [first, second] = placed
  t.equal(await client.setState(first?.record ?? { id: 'x', epoch: 1 }, 'suspended'), 'ok')
  t.equal(await client.remove(first?.record ?? { id: 'x', epoch: 1 }), 'ok')
  await until(() => registry.cached(first?.record.id ?? '') === undefined, 'the feed works')
  t.equal(await client.release(second?.record ?? { id: 'x', epoch: 1 }), 'ok')
  t.match(await client.assert([...pod.sessions.values()].slice(1, 3), pod.record), new Map())
  await client.endLease(memberRecord('pod-2'))
  await until(async () => {
    const { sessions } = await registry.listSessions()
    return sessions.length === 19 && sessions.every(({ owner }) => owner === 'pod-1')
  }, 'the sweep works')
  const keys = await redis.keys('*')
  t.ok(keys.length > 20)
  t.equal(new Set(keys.map(slotOf)).size, 1)

  const known = placed.slice(2).filter(({ member }) => member.id === 'pod-1')
  await server.kill()
  await until(() => !registry.available, 'the gateway noticed')
  t.ok(
    known.every(({ record }) => registry.cached(record.id) !== undefined),
    'known sessions go on'
  )
  await t.rejects(registry.find('nobody'), { code: 'registry-unavailable' })
  await server.start()
  await until(() => registry.available, 'the cluster is back')
  await until(async () => (await registry.find('nobody').catch(() => undefined)) === null, 'unknown is believed again')
  t.ok(known.every(({ record }) => registry.cached(record.id) !== undefined))
})
