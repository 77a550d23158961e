import { Redis } from 'ioredis'
import { newBootId } from '../lib/ids.ts'
import { registryKeys } from '../lib/registry-schema.ts'
import { HEARTBEAT, MARK_SETTLED } from '../lib/registry-scripts/member-scripts.ts'
import { CLAIM } from '../lib/registry-scripts/session-scripts.ts'
import type { Script } from '../lib/registry-scripts/script.ts'
import type { Backend } from './backend.ts'

const PREFIX = '{fairlead}'
const AGENT = 'bench'
// Longer than any run, because nobody renews it.
const LEASE_MS = 6 * 3600 * 1000
const BATCH = 1000

/** Makes a private, empty Redis ready at once: without it, gateways wait for pods that may have owned something before. */
export async function settleRegistry(redisUrl: string): Promise<void> {
  await withRedis(redisUrl, async redis => {
    await evalMany(redis, MARK_SETTLED, [[registryKeys(PREFIX).generation, PREFIX, newBootId()]])
  })
}

/** Registers every backend as a member and every session as owned by its backend, with the scripts that pods and gateways use. */
export async function seedRegistry(redisUrl: string, { ports, sessions }: Backend): Promise<void> {
  const keys = registryKeys(PREFIX)
  const boots = new Map(ports.map(port => [port, newBootId()]))
  const bootOf = (port: number): string => boots.get(port) ?? ''
  const heartbeats = ports.map(port => {
    const record = memberFields(port, bootOf(port))
    return [
      keys.member(memberId(port)),
      PREFIX,
      memberId(port),
      bootOf(port),
      String(LEASE_MS),
      '1',
      newBootId(),
      ...record
    ]
  })
  const claims = sessions.map(({ id, port }) => {
    return [keys.session(id), PREFIX, id, memberId(port), bootOf(port), AGENT, '1', '0', newBootId()]
  })
  await withRedis(redisUrl, async redis => {
    await evalMany(redis, HEARTBEAT, heartbeats)
    const replies = await evalMany(redis, CLAIM, claims)
    const failed = replies.filter(reply => !Array.isArray(reply) || reply[0] !== 'ok')
    if (failed.length > 0)
      throw new Error(`${failed.length} sessions could not be registered: ${JSON.stringify(failed[0])}`)
  })
}

function memberId(port: number): string {
  return `bench-${port}`
}

function memberFields(port: number, bootId: string): string[] {
  const fields = { id: memberId(port), bootId, address: `127.0.0.1:${port}`, load: '0', state: 'ready', pid: '0' }
  return Object.entries({ ...fields, agents: JSON.stringify([AGENT]), capacity: '0' }).flat()
}

async function withRedis(url: string, use: (redis: Redis) => Promise<void>): Promise<void> {
  const redis = new Redis(url)
  try {
    await use(redis)
  } finally {
    redis.disconnect()
  }
}

/** Runs a script of one key once for each list of key and arguments; throws the first error. */
async function evalMany(redis: Redis, script: Script, calls: readonly (readonly string[])[]): Promise<unknown[]> {
  await redis.script('LOAD', script.source)
  const replies: unknown[] = []
  for (let start = 0; start < calls.length; start += BATCH) {
    const pipeline = redis.pipeline()
    for (const [key = '', ...rest] of calls.slice(start, start + BATCH)) pipeline.evalsha(script.sha, 1, key, ...rest)
    for (const [error, reply] of (await pipeline.exec()) ?? []) {
      if (error !== null) throw error
      replies.push(reply)
    }
  }
  return replies
}
