import { BlockList, isIP, isIPv6 } from 'node:net'
import { isDnsLabel } from '../../lib/ids.ts'
import type { ErrorCode } from '../errors.ts'

/** Header fields of agent-sandbox that the proxy keeps at hand, in the order in which `RequestHead.captured` numbers them. */
export const CAPTURED_FIELDS = [
  'x-sandbox-id',
  'x-sandbox-namespace',
  'x-sandbox-port',
  'x-sandbox-pod-ip',
  'x-sandbox-timeout'
] as const

/** Positions in `CAPTURED_FIELDS`. */
export const SANDBOX_FIELD = { id: 0, namespace: 1, port: 2, podIp: 3, timeout: 4 } as const

/** What a client sent in the fields that are checked; null where a field is absent. */
export interface SandboxHeaders {
  readonly id: string | null
  readonly namespace: string | null
  readonly port: string | null
  readonly podIp: string | null
}

/**
 * Checks the X-Sandbox-* fields in the order of agent-sandbox's router and answers the first fault, or null.
 * An empty namespace, port or address counts as absent. Namespace, port and address decide nothing: ids are unique in the registry, which alone knows where a session is.
 */
export function sandboxHeaderFault(headers: SandboxHeaders, options: { allowLoopback: boolean }): ErrorCode | null {
  if (headers.id === null || headers.id === '') return 'sandbox-id-missing'
  if (!isDnsLabel(headers.id)) return 'sandbox-id-invalid'
  if (headers.namespace !== null && headers.namespace !== '' && !isDnsLabel(headers.namespace))
    return 'namespace-invalid'
  if (headers.port !== null && headers.port !== '' && !isPort(headers.port)) return 'port-invalid'
  if (headers.podIp !== null && headers.podIp !== '' && !isTargetAddress(headers.podIp, options))
    return 'pod-ip-invalid'
  return null
}

function isPort(text: string): boolean {
  if (!/^\d{1,5}$/.test(text)) return false
  const port = Number(text)
  return port >= 1 && port <= 65_535
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

const FORBIDDEN = new BlockList()
FORBIDDEN.addSubnet('0.0.0.0', 8, 'ipv4')
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4')
FORBIDDEN.addSubnet('224.0.0.0', 4, 'ipv4')
FORBIDDEN.addAddress('255.255.255.255', 'ipv4')
FORBIDDEN.addAddress('::', 'ipv6')
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6')
FORBIDDEN.addSubnet('ff00::', 8, 'ipv6')

function isTargetAddress(text: string, { allowLoopback }: { allowLoopback: boolean }): boolean {
  if (isIP(text) === 0 || text.includes('%')) return false
  const family = isIPv6(text) ? 'ipv6' : 'ipv4'
  if (FORBIDDEN.check(text, family)) return false
  return allowLoopback || !LOOPBACK.check(text, family)
}
