import { fileURLToPath } from 'node:url'
import type { Subject } from '../subject.ts'
import { listeningUrl } from './listening-url.ts'

const CLI = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

/** The command line of `fairlead` in this checkout. */
export function fairleadCommand(...words: readonly string[]): string[] {
  return [process.execPath, CLI, ...words]
}

/** `fairlead gateway` as it is started in production, but for loopback pods and free ports. Metrics are always on, because it has no switch for them. */
export function gatewaySubject({
  transport,
  accessLog
}: {
  transport: 'stream' | 'handle'
  accessLog: boolean
}): Subject {
  const name = `fairlead${transport === 'handle' ? '-handle' : ''}${accessLog ? '+log' : ''}` as const
  const summary = `fairlead gateway, one worker, transport ${transport}, metrics${accessLog ? ' and access log' : ', no access log'}`
  return {
    name,
    summary,
    async start({ setting, redisUrl }) {
      const options = [
        '--transport',
        transport,
        '--host',
        '127.0.0.1',
        '--port',
        '0',
        '--admin-port',
        '0',
        '--redis-url',
        redisUrl
      ]
      const flags = ['--allow-loopback-members', accessLog ? '--access-log' : '--no-access-log']
      const command = fairleadCommand('gateway', ...options, ...flags)
      const child = setting.start({ name, command, place: 'subject' })
      const url = await child.until(() => listeningUrl(child.output()))
      return { name, port: Number(url.port), child, logFiles: [] }
    }
  }
}
