import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { FairleadError } from '../../lib/errors.ts'
import { resolveConfig } from '../../lib/config-table.ts'
import { RedisConnection } from '../../lib/redis-connection.ts'
import { RegistryClient } from '../../lib/registry-client.ts'
import { registryOptions } from '../../lib/registry-options.ts'
import type { Fields } from '../fields.ts'
import { findProgram } from '../find-program.ts'
import { toArguments } from './dev-plan.ts'

/** Starts a private redis-server on 127.0.0.1; it dies with this process, even with a killed one where `setpriv` is there. `durable` keeps its data in `directory` over restarts. */
export function spawnRedis(options: { port: number; directory: string; durable: boolean }): ChildProcess {
  const program = findProgram('redis-server')
  if (program === undefined) {
    throw new FairleadError(
      'no-redis',
      'redis-server is not installed; install it (Debian: apt-get install redis-server) or give --redis <url>'
    )
  }
  const settings = toArguments({
    port: options.port,
    bind: '127.0.0.1',
    dir: options.directory,
    save: '',
    appendonly: options.durable ? 'yes' : 'no',
    daemonize: 'no'
  })
  const setpriv = findProgram('setpriv')
  const [command = program, ...args] = setpriv === undefined ? [program] : [setpriv, '--pdeathsig', 'KILL', program]
  // Its own process group: Ctrl-C must reach the parent only, which ends the pods before their Redis.
  return spawn(command, [...args, ...settings], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
}

/** Waits until Redis answers on a port; rejects when `signal` aborts. */
export async function whenRedisAnswers(port: number, signal: AbortSignal): Promise<Fields> {
  const url = `redis://127.0.0.1:${port}`
  const connection = new RedisConnection({ url, name: 'fairlead-dev' })
  try {
    connection.start()
    await once(connection, 'up', { signal })
    return { url }
  } finally {
    connection.close()
  }
}

/** Says that the registry in a Redis that was just started is complete, though it may be empty: no pod runs yet that could own a session which it does not hold. */
export async function markSettled(url: string): Promise<void> {
  const { redisPrefix } = resolveConfig(registryOptions, { section: 'gateway', env: process.env })
  const client = new RegistryClient({ url, prefix: redisPrefix, name: 'fairlead-dev' })
  try {
    await client.start()
    await client.markSettled()
  } finally {
    await client.close()
  }
}
