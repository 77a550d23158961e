import { FairleadError } from './errors.ts'

/** Where a Redis is and how to log in. */
export interface RedisTarget {
  readonly mode: 'standalone' | 'sentinel' | 'cluster'
  /** The server, or the sentinels, or some of the cluster's nodes. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  /** Name of the master that the sentinels watch; empty without sentinels. */
  readonly master: string
  /** Database index; always 0 with a cluster. */
  readonly db: number
  readonly username: string | undefined
  readonly password: string | undefined
  /** Login at the sentinels themselves (`?sentinelUsername=..&sentinelPassword=..`). */
  readonly sentinelUsername: string | undefined
  readonly sentinelPassword: string | undefined
  readonly tls: boolean
}

const DEFAULT_PORTS = { standalone: 6379, sentinel: 26_379, cluster: 6379 } as const

/** A Redis URL that cannot be understood; code `redis-url`. Its message never holds the URL, which may hold a password. */
export class RedisUrlError extends FairleadError {
  constructor(problem: string) {
    super('redis-url', `Redis URL: ${problem}`)
  }
}

/**
 * Takes a Redis URL apart.
 *
 * - `redis://[user:password@]host[:port][/db]`, `rediss://` with TLS
 * - `redis+sentinel://[user:password@]host[:port],host[:port]/master[/db]`, `rediss+sentinel://`
 * - `redis+cluster://[user:password@]host[:port],host[:port]`, `rediss+cluster://`
 *
 * Throws RedisUrlError.
 */
export function parseRedisUrl(url: string): RedisTarget {
  const match = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/([^/?#]*)([^?#]*)(\?[^#]*)?$/.exec(url)
  if (match === null) throw new RedisUrlError('expected redis://, rediss://, redis+sentinel:// or redis+cluster://')
  const [, scheme, kind, authority = '', path = '', query = ''] = match
  const mode = kind === 'sentinel' || kind === 'cluster' ? kind : 'standalone'
  const at = authority.lastIndexOf('@')
  const parameters = new URLSearchParams(query)
  return {
    mode,
    nodes: parseNodes(authority.slice(at + 1), mode),
    ...parsePath(path, mode),
    ...parseLogin(at < 0 ? '' : authority.slice(0, at)),
    sentinelUsername: parameters.get('sentinelUsername') ?? undefined,
    sentinelPassword: parameters.get('sentinelPassword') ?? undefined,
    tls: scheme === 'rediss'
  }
}

function parseNodes(list: string, mode: RedisTarget['mode']): RedisTarget['nodes'] {
  const nodes = list.split(',').map(text => parseNode(text, mode))
  if (mode === 'standalone' && nodes.length > 1) {
    throw new RedisUrlError('several hosts need redis+sentinel:// or redis+cluster://')
  }
  return nodes
}

function parseNode(text: string, mode: RedisTarget['mode']): RedisTarget['nodes'][number] {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text)
  const port = match?.[3] === undefined ? DEFAULT_PORTS[mode] : Number(match[3])
  if (match === null || port < 1 || port > 65_535) throw new RedisUrlError('expected host[:port]')
  return { host: match[1] ?? match[2] ?? '', port }
}

function parsePath(path: string, mode: RedisTarget['mode']): Pick<RedisTarget, 'master' | 'db'> {
  const parts = path.split('/').slice(1).map(decode)
  const master = mode === 'sentinel' ? (parts.shift() ?? '') : ''
  if (mode === 'sentinel' && master === '') throw new RedisUrlError("the master's name is missing: /mymaster")
  const db = parts[0] === undefined || parts[0] === '' ? 0 : Number(parts[0])
  if (parts.length > 1 || !Number.isInteger(db) || db < 0) throw new RedisUrlError('the database is not a number')
  if (mode === 'cluster' && db !== 0) throw new RedisUrlError('a cluster has only database 0')
  return { master, db }
}

function parseLogin(text: string): Pick<RedisTarget, 'username' | 'password'> {
  if (text === '') return { username: undefined, password: undefined }
  const colon = text.indexOf(':')
  if (colon < 0) return { username: decode(text), password: undefined }
  const username = decode(text.slice(0, colon))
  return { username: username === '' ? undefined : username, password: decode(text.slice(colon + 1)) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new RedisUrlError(`a bad escape (${cause instanceof Error ? cause.message : 'unknown'})`)
  }
}
