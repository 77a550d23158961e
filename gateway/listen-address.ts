import { isIPv6 } from 'node:net'

/** A host as it stands in a URL. */
export function formatHost(host: string): string {
  return isIPv6(host) ? `[${host}]` : host
}
