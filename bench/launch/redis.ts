import type { Setting } from '../setting.ts'
import { accepts, freePort } from './free-port.ts'

/** Starts a private redis-server beside the load, without persistence; returns its URL. The setting ends it. */
export async function startRedis(setting: Setting): Promise<string> {
  const port = await freePort()
  const options = ['--save', '', '--appendonly', 'no', '--dir', setting.directory]
  const command = ['redis-server', '--bind', '127.0.0.1', '--port', String(port), ...options]
  const child = setting.start({ name: 'redis', command, place: 'load' })
  await child.until(() => accepts(port))
  return `redis://127.0.0.1:${port}`
}
