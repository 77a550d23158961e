import { BlockList, isIP } from 'node:net'
import { FairleadError } from '../lib/errors.ts'

/** Makes the list of peers whose X-Forwarded-* fields are kept, from addresses and CIDR ranges. Throws code `config` for anything else. */
export function trustedProxyList(entries: readonly string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) addEntry(list, entry)
  return list
}

function addEntry(list: BlockList, entry: string): void {
  const [address = '', prefix] = entry.split('/')
  const version = isIP(address)
  const bits = prefix === undefined ? (version === 6 ? 128 : 32) : Number(prefix)
  const fits = prefix === undefined || (/^\d{1,3}$/.test(prefix) && bits <= (version === 6 ? 128 : 32))
  if (version === 0 || !fits || entry.split('/').length > 2) {
    throw new FairleadError(
      'config',
      `trustedProxies: expected an address or a CIDR range, got ${JSON.stringify(entry)}`
    )
  }
  list.addSubnet(address, bits, version === 6 ? 'ipv6' : 'ipv4')
}
