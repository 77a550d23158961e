import { LF } from './ascii.ts'
import type { OutputBuffer } from './output-buffer.ts'
import type { RequestHead } from './request-head.ts'

const FORWARDED = Buffer.from('X-Forwarded-')

/** What a client connection adds to every request. */
export interface ClientFields {
  readonly address: string
  /** The client is a proxy whose X-Forwarded fields are believed. */
  readonly trusted: boolean
  /** X-Forwarded-For and -Proto lines and the empty line that ends a head; for a trusted client only the empty line. */
  readonly lastLines: Buffer
}

/** Makes the `ClientFields` of a connection. */
export function clientFields(address: string, trusted: boolean): ClientFields {
  const own = trusted ? '' : `X-Forwarded-For: ${address}\r\nX-Forwarded-Proto: http\r\n`
  return { address, trusted, lastLines: Buffer.from(`${own}\r\n`, 'latin1') }
}

/**
 * Puts the part of a request head that passes on into `output`: the request line and the kept fields, Host renamed to
 * X-Forwarded-Host. The fields of the route and `client.lastLines` are to follow.
 */
export function writeForwardedHead(
  output: OutputBuffer,
  head: RequestHead,
  options: { client: ClientFields; upgradeTo: string | null }
): void {
  const { fields, bytes } = head
  const { kept, keptLength, hostLine } = fields
  const replacesHost = head.authority !== '' || fields.hasForwardedHost
  if (head.rewrittenLine !== '') output.text(head.rewrittenLine)
  for (let i = 0; i < keptLength; i += 2) {
    const start = kept[i]!
    const end = kept[i + 1]!
    if (hostLine < start || hostLine >= end) output.copy(bytes, start, end)
    else {
      output.copy(bytes, start, hostLine)
      if (!replacesHost) output.add(FORWARDED)
      output.copy(bytes, replacesHost ? bytes.indexOf(LF, hostLine) + 1 : hostLine, end)
    }
  }
  if (head.authority !== '' && !fields.hasForwardedHost) output.text(`X-Forwarded-Host: ${head.authority}\r\n`)
  if (options.upgradeTo !== null) output.text(`Connection: Upgrade\r\nUpgrade: ${options.upgradeTo}\r\n`)
  if (options.client.trusted) writeTrustedFields(output, head, options.client)
}

/** What a trusted proxy said of its client goes on, with the proxy's own address added. */
function writeTrustedFields(output: OutputBuffer, head: RequestHead, client: ClientFields): void {
  const { fields, bytes } = head
  const hops: string[] = []
  for (let i = 0; i < fields.forwardedFor.length; i += 2) {
    hops.push(bytes.toString('latin1', fields.forwardedFor[i], fields.forwardedFor[i + 1]))
  }
  output.text(`X-Forwarded-For: ${[...hops, client.address].filter(hop => hop !== '').join(', ')}\r\n`)
  if (!fields.hasForwardedProto) output.text('X-Forwarded-Proto: http\r\n')
}
