import { RedisConnection } from '../../lib/redis-connection.ts'
import { once } from 'node:events'
import { redactUrl } from '../../lib/config-value.ts'
import { registryOptions } from '../../lib/registry-options.ts'
import { errorText } from '../../lib/errors.ts'
import { findProgram } from '../find-program.ts'
import type { Finding } from './finding.ts'

const ANSWER_TIMEOUT_MS = 3000
const OLDEST_REDIS = 7
const DEFAULT_REDIS_URL = registryOptions.find(option => option.key === 'redisUrl')?.default

/** Whether `fairlead dev` finds a redis-server to run. */
export function redisServerFinding(): Finding {
  const program = findProgram('redis-server')
  if (program !== undefined) return { check: 'redis-server', result: 'ok', found: program }
  const fix = 'apt-get install redis-server; only fairlead dev and the tests run it'
  return { check: 'redis-server', result: 'warn', found: 'not installed', fix }
}

/** Whether the registry's Redis answers, and how old it is. Somebody who configured one needs it; with the default, `fairlead dev` may be all that is wanted. */
export async function redisFinding(redisUrl: string): Promise<Finding> {
  const check = 'Redis'
  const shown = redactUrl(redisUrl)
  try {
    const version = await redisVersion(redisUrl)
    if (Number(version.split('.')[0]) >= OLDEST_REDIS) return { check, result: 'ok', found: `${version} at ${shown}` }
    return {
      check,
      result: 'warn',
      found: `${version} at ${shown}`,
      fix: `use Redis ${OLDEST_REDIS} or later, or Valkey`
    }
  } catch (error) {
    const result = redisUrl === DEFAULT_REDIS_URL ? 'warn' : 'fail'
    const fix = 'start it, or set --redis-url; fairlead dev brings its own'
    return { check, result, found: `no answer from ${shown} (${errorText(error)})`, fix }
  }
}

async function redisVersion(url: string): Promise<string> {
  const connection = new RedisConnection({ url, name: 'fairlead-doctor', commandTimeoutMs: ANSWER_TIMEOUT_MS })
  try {
    await connected(connection)
    const info = await connection.client.info('server')
    return /^(?:valkey|redis)_version:(.*?)\r?$/m.exec(info)?.[1] ?? 'unknown version'
  } finally {
    connection.close()
  }
}

// The first refusal is an answer; whoever runs this wants to know now, not whether it gets better.
async function connected(connection: RedisConnection): Promise<void> {
  const refused = Promise.withResolvers<never>()
  connection.client.once('error', refused.reject)
  connection.start()
  await Promise.race([once(connection, 'up', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) }), refused.promise])
}
