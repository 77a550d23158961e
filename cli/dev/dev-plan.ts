import { join } from 'node:path'

/** What `fairlead dev` was asked for. */
export interface DevOptions {
  port: number
  adminPort: number
  podCount: number
  /** Keeps files, backups, logs and the registry over runs; without it they live in a temporary directory that goes at the end. */
  dataDirectory?: string
  /** Backup store URL; a directory inside the data directory where it is not given. */
  store?: string
  /** A Redis to use; without it a private one is started. */
  redisUrl?: string
  /** Shows everything that the processes log. */
  verbose: boolean
}

/** Where things lie below the data directory. */
export interface DevFolders {
  root: string
  logs: string
  redis: string
  store: string
  pods: string
}

/** Lays out a data directory. */
export function foldersIn(root: string): DevFolders {
  return {
    root,
    logs: join(root, 'logs'),
    redis: join(root, 'redis'),
    store: join(root, 'backups'),
    pods: join(root, 'pods')
  }
}

/** Command line of the gateway child. Its grace at the end is short: nobody waits for a developer's old requests. */
export function gatewayArguments(options: Pick<DevOptions, 'port' | 'adminPort'>, folders: DevFolders): string[] {
  const flags = {
    host: '127.0.0.1',
    port: options.port,
    'admin-host': '127.0.0.1',
    'admin-port': options.adminPort,
    'allow-loopback-members': true,
    'access-log-path': join(folders.logs, 'access.log'),
    'shutdown-timeout': '2s'
  }
  return ['gateway', ...toArguments(flags)]
}

/** Command line of a pod child. Backups are written before the answer, so that a pod may be killed right after it. */
export function podArguments(name: string, options: DevOptions, folders: DevFolders): string[] {
  const flags = {
    host: '127.0.0.1',
    port: 0,
    'advertise-address': '127.0.0.1',
    'member-id': name,
    'data-directory': join(folders.pods, name),
    store: options.store ?? `fs:${folders.store}`,
    durability: 'sync',
    'drain-timeout': '2s'
  }
  return ['pod', ...toArguments(flags)]
}

/** Turns `{ port: 0 }` into `--port 0`. */
export function toArguments(flags: Readonly<Record<string, string | number | boolean>>): string[] {
  return Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)])
}
