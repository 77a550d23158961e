import { isIPv6 } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { FairleadError } from '../lib/errors.ts'
import { MAX_ID_LENGTH, isDnsLabel } from '../lib/ids.ts'

const WILDCARDS = new Set(['0.0.0.0', '::', ''])

/** `host:port` at which gateways reach a pod that listens on `host` and `port`. `configured` may be empty, a host, or a host with a port. */
export function advertisedAddress(configured: string, listening: { host: string; port: number }): string {
  if (configured === '')
    return withPort(WILDCARDS.has(listening.host) ? firstAddress() : listening.host, listening.port)
  const hasPort = isIPv6(configured) ? false : /^(\[.*\]|[^:]*):\d+$/.test(configured)
  return hasPort ? configured : withPort(configured, listening.port)
}

function withPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/** The first address of this machine that others can reach; IPv4 before IPv6. */
function firstAddress(): string {
  const usable = Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80'))
  const found = usable.find(({ family }) => family === 'IPv4') ?? usable[0]
  if (found === undefined)
    throw new FairleadError('config', 'advertiseAddress: this machine has no address of its own, give one')
  return found.address
}

/** The member id: as configured, or made of the machine's name and the port. Code `config` when it is no DNS label. */
export function memberIdOf(configured: string, port: number): string {
  if (configured !== '') {
    if (isDnsLabel(configured)) return configured
    throw new FairleadError(
      'config',
      `memberId: expected a DNS label of at most ${MAX_ID_LENGTH} characters, got "${configured}"`
    )
  }
  const suffix = `-${port}`
  const name = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_ID_LENGTH - suffix.length)
  return `${name.replace(/^-+/, '') || 'pod'}${suffix}`.replace(/--+/, '-')
}
