/**
 * What the registry costs at 100,000 sessions on 500 members, by hand:
 * `node --expose-gc bench/registry-scale.ts [sessions] [members]`. Needs redis-server.
 */
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { MemberEntry } from '../gateway/registry/member-entry.ts'
import { Registry } from '../gateway/registry/registry.ts'
import { RoutingTable } from '../gateway/registry/routing-table.ts'
import { Upstream } from '../gateway/http/upstream.ts'
import { newSessionId } from '../lib/ids.ts'
import { RegistryClient } from '../lib/registry-client.ts'
import { parseSession, registryKeys } from '../lib/registry-schema.ts'
import { startRedis } from '../test/fixtures/redis-server.ts'
import type { MemberRecord } from '../lib/registry-schema.ts'

const sessionCount = Number(process.argv[2] ?? 100_000)
const memberCount = Number(process.argv[3] ?? 500)
const PREFIX = '{fairlead}'
const LEASE_MS = 600_000

function report(what: string, value: number, unit: string): void {
  process.stdout.write(`${what.padEnd(64)} ${value.toFixed(value < 10 ? 2 : 0).padStart(9)} ${unit}\n`)
}

function makeUpstream(host: string, port: number): Upstream {
  return new Upstream({
    host,
    port,
    dial: () => {
      throw new Error('not dialled here')
    }
  })
}

const member = (n: number): MemberRecord => ({
  id: `pod-${n}`,
  bootId: `boot-${n}`,
  address: `10.0.${n >> 8}.${n & 255}:8080`,
  load: 0,
  state: 'ready',
  pid: n,
  agents: ['shell'],
  capacity: 0
})

async function inChunks<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += 500) await Promise.all(items.slice(at, at + 500).map(work))
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now()
  await work()
  return performance.now() - startedAtMs
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 2))
}

function heapBytes(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

/** A string of its own, as a reply's parser makes them. */
function copy(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** Bytes of heap that a cached session takes, with records as they come out of Redis. */
function measureMemory(): void {
  const table = new RoutingTable(10_000_000)
  const members = Array.from(
    { length: memberCount },
    (_, n) => new MemberEntry(member(n), makeUpstream('10.0.0.1', 80))
  )
  const before = heapBytes()
  for (let n = 0; n < sessionCount; n++) {
    const owner = members[n % memberCount]
    if (owner === undefined) return
    const fields = {
      owner: copy(owner.id),
      bootId: copy(owner.bootId),
      epoch: '1',
      state: copy('active'),
      agent: copy('shell'),
      createdAt: String(1_795_308_928_420 + n)
    }
    const { value } = parseSession(newSessionId(), fields)
    if (value !== null) table.put(value, owner)
  }
  report('memory per cached session', (heapBytes() - before) / table.size, 'B')
  const ids = table.ids()
  const startedAtMs = performance.now()
  let found = 0
  for (let round = 0; round < 20; round++) for (const id of ids) if (table.get(id) !== undefined) found++
  report('cached lookup', ((performance.now() - startedAtMs) / found) * 1e6, 'ns')
}

const quiet = pino({ level: 'warn' })

function makeRegistry(redisUrl: string, periods: { memberRefreshMs: number; sweepIntervalMs: number }): Registry {
  const shared = { redisPrefix: PREFIX, heartbeatMs: 10_000, allowLoopbackMembers: false, makeUpstream, log: quiet }
  return new Registry({ redisUrl, allocation: 'least-loaded', ...shared, ...periods })
}

interface Subjects {
  readonly url: string
  readonly client: RegistryClient
  /** Neither sweeps nor reads members while it is measured. */
  readonly registry: Registry
  readonly ids: readonly string[]
}

async function main(): Promise<void> {
  measureMemory()
  const server = await startRedis()
  const client = new RegistryClient({ url: server.url, prefix: PREFIX })
  const registry = makeRegistry(server.url, { memberRefreshMs: 600_000, sweepIntervalMs: 600_000 })
  const subjects = { url: server.url, client, registry, ids: Array.from({ length: sessionCount }, newSessionId) }
  try {
    await client.start()
    await fill(subjects)
    await measureQuestions(subjects)
    await measureFeed(subjects)
    await measureVerification(subjects)
    await measureSweep(subjects)
  } finally {
    await registry.close()
    await client.close()
    await server.stop()
  }
}

async function fill({ client, registry, ids }: Subjects): Promise<void> {
  const numbers = Array.from({ length: memberCount }, (_, n) => n)
  await inChunks(numbers, n => client.heartbeat(member(n), { leaseMs: LEASE_MS, first: true }))
  await registry.start()
  const work = ids.map((id, n) => ({ id, owner: member(n % memberCount) }))
  const claimMs = await timed(() =>
    inChunks(work, ({ id, owner }) => client.claim({ id, agent: 'shell' }, { member: owner, settleMs: 0 }))
  )
  report('claim, pipelined', (claimMs / sessionCount) * 1_000, 'us')
}

async function measureQuestions({ client, registry, ids }: Subjects): Promise<void> {
  const findMs = await timed(() => inChunks(ids, id => registry.find(id)))
  report('lookup on a miss, pipelined', (findMs / sessionCount) * 1_000, 'us')
  const oneMs = await timed(async () => {
    for (const id of ids.slice(0, 1_000)) await registry.inspect(id)
  })
  report('lookup on a miss, one at a time', oneMs, 'us')
  const cpu = process.cpuUsage()
  const readMs = await timed(async () => {
    for (let n = 0; n < 10; n++) await client.readMembers((await client.overview()).memberIds)
  })
  const { user, system } = process.cpuUsage(cpu)
  report(`reading all members (every 2 s)`, readMs / 10, 'ms')
  report(`reading all members, CPU of this process`, (user + system) / 10_000, 'ms')
  const placeMs = await timed(async () => {
    for (let n = 0; n < 1_000; n++) await registry.place('shell')
  })
  report('place, least-loaded, one at a time', placeMs, 'us')
}

/** Each release and reassignment is one change; the registry knows all sessions. */
async function measureFeed({ client, registry, ids }: Subjects): Promise<void> {
  const some = ids.slice(0, 10_000)
  const cpu = process.cpuUsage()
  const ms = await timed(async () => {
    await inChunks(some, id => client.release({ id, epoch: 1 }))
    await inChunks(some, id => client.reassign({ id, epoch: 1 }, { member: member(1), settleMs: 0 }))
    await inChunks(some, id => registry.find(id))
  })
  const { user, system } = process.cpuUsage(cpu)
  report('release + reassign + 2 changes from the feed + lookup, wall', (ms / some.length) * 1_000, 'us')
  report('the same, CPU of this process (both sides)', (user + system) / some.length, 'us')
}

async function measureVerification({ url, registry, ids }: Subjects): Promise<void> {
  const redis = new Redis(url)
  const [last = ''] = ids.slice(-1)
  await redis.del(registryKeys(PREFIX).session(last))
  const cpu = process.cpuUsage()
  const ms = await timed(async () => {
    await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until(() => registry.cached(last) === undefined)
  })
  const { user, system } = process.cpuUsage(cpu)
  report('verification of all cached routes after a lost feed', ms, 'ms')
  report('the same, CPU of this process', (user + system) / 1_000, 'ms')
  redis.disconnect()
}

/** One member dies; another gateway sweeps with its usual periods. */
async function measureSweep({ url, client, registry, ids }: Subjects): Promise<void> {
  const dead = member(2)
  const owned = ids.filter(id => registry.cached(id)?.record.owner === dead.id)
  const sweeper = makeRegistry(url, { memberRefreshMs: 2_000, sweepIntervalMs: 1_000 })
  await sweeper.start()
  const ms = await timed(async () => {
    await client.endLease(dead)
    await until(
      async () => (await client.readMembers([dead.id]))[0]?.held.count === 0 && (await client.orphans(1)).length === 0
    )
  })
  report(`sweep of a dead member with ${owned.length} sessions, from the end of its lease`, ms, 'ms')
  await sweeper.close()
}

await main()
