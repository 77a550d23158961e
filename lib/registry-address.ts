import { BlockList, isIP, isIPv6 } from 'node:net'
import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'

/** A member's address that may be dialled. `host` is an IP literal without brackets, or a host name. */
export interface CheckedAddress {
  readonly host: string
  readonly port: number
}

/** Which addresses may be dialled besides the ordinary ones. */
export interface AddressRules {
  /** Loopback is refused unless everything runs on one machine. */
  readonly allowLoopback: boolean
}

function blockList(...networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', bits = ''] = network.split('/')
    list.addSubnet(address, Number(bits), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return list
}

/**
 * Never dialled: unspecified, link-local (with the metadata service at 169.254.169.254), multicast, reserved and broadcast; the metadata addresses
 * of clouds outside of link-local (AWS over IPv6, Alibaba, Azure); and IPv6 forms that carry an IPv4 address through a translator (NAT64, 6to4, compatible).
 */
const forbidden = blockList(
  '0.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '::/128',
  '::/96',
  'fe80::/10',
  'ff00::/8',
  'fec0::/10',
  'fd00:ec2::254/128',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '2002::/16'
)

const loopback = blockList('127.0.0.0/8', '::1/128')

/** Why an IP literal (without brackets) must not be dialled; null when it may be. */
export function ipProblem(ip: string, { allowLoopback }: AddressRules): string | null {
  if (ip.includes('%')) return 'it has a zone'
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1]
  if (mapped !== undefined) return ipProblem(mapped, { allowLoopback })
  const family = isIPv6(ip) ? 'ipv6' : 'ipv4'
  // The ranges overlap for ::1, which ::/96 (IPv4-compatible addresses) holds too.
  if (loopback.check(ip, family)) return allowLoopback ? null : 'it is a loopback address'
  return forbidden.check(ip, family) ? 'it is unspecified, link-local, multicast, reserved or a metadata address' : null
}

const HOST_LABEL = /^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?$/i

/** A name that every resolver takes for a name: labels of RFC 1123, and a last one that is not a number (`127.1` and `0x7f000001` are addresses to some). */
function nameProblem(name: string, { allowLoopback }: AddressRules): string | null {
  const labels = name.replace(/\.$/, '').split('.')
  const last = labels.at(-1) ?? ''
  if (name.length > 253 || !labels.every(label => label.length <= 63 && HOST_LABEL.test(label)))
    return 'its host is not a host name'
  if (/^(\d+|0x[0-9a-f]*)$/i.test(last)) return 'its host is a number'
  return last.toLowerCase() === 'localhost' && !allowLoopback ? 'it is a loopback address' : null
}

/** What `checkAddress` found. */
export type AddressCheck =
  | { readonly address: CheckedAddress; readonly problem: null }
  | { readonly address: null; readonly problem: string }

/**
 * Decides whether an address from the registry may be dialled: `host:port`, `[v6]:port`, with or without `http://` before it and nothing behind it.
 * A host name passes here; what it resolves to is checked by `checkedLookup` when it is dialled.
 */
export function checkAddress(text: string, rules: AddressRules): AddressCheck {
  const match = /^(?:http:\/\/)?(?:\[([0-9a-f:.]+)\]|([^\s:[\]/?#@\\%]+)):(\d{1,5})\/?$/i.exec(text)
  if (match === null) return { address: null, problem: 'it is not host:port' }
  const [, v6, name = ''] = match
  const port = Number(match[3])
  if (port < 1 || port > 65_535) return { address: null, problem: 'its port is not from 1 to 65535' }
  const host = v6 ?? name
  const problem = v6 === undefined ? hostProblem(name, rules) : v6Problem(v6, rules)
  return problem === null ? { address: { host, port }, problem } : { address: null, problem }
}

function hostProblem(host: string, rules: AddressRules): string | null {
  return isIP(host) === 0 ? nameProblem(host, rules) : ipProblem(host, rules)
}

function v6Problem(host: string, rules: AddressRules): string | null {
  return isIPv6(host) ? ipProblem(host, rules) : 'its host is not an IPv6 address'
}

/**
 * A `lookup` for `net.connect` that fails (code `EACCES`) where a name resolves to an address that must not be dialled,
 * so that a name in the registry reaches nothing that a literal could not.
 */
export function checkedLookup(rules: AddressRules): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, '', 0)
        return
      }
      const allowed = addresses.filter(({ address }) => ipProblem(address, rules) === null)
      const [first] = allowed
      if (first === undefined) callback(refusedName(hostname), '', 0)
      else if (options.all === true) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}

function refusedName(hostname: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${hostname} resolves to an address that must not be dialled`)
  error.code = 'EACCES'
  return error
}
