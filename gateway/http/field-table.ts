import { ascii, equalsIgnoringCase } from './ascii.ts'

/** What a known header field means to the parser. */
export const FIELD = {
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  /** Hop-by-hop: dropped, whatever it says. */
  hopByHop: 6,
  /** Set by the proxy: X-Forwarded-For, -Host, -Proto. Dropped unless the peer is trusted. */
  forwardedFor: 7,
  forwardedHost: 8,
  forwardedProto: 9,
  /** Named by the owner of the proxy: its value is kept at hand, and it may occur once only. */
  captured: 10,
  /** Named by the owner of the proxy: dropped. */
  stripped: 11
} as const

/** One header field that the parser treats specially. */
export interface KnownField {
  /** Lower case. */
  readonly name: Uint8Array
  readonly kind: (typeof FIELD)[keyof typeof FIELD]
  /** Position among the captured fields; -1 for others. */
  readonly capture: number
  /** A captured field that does not pass on. */
  readonly dropped: boolean
}

const LONGEST_NAME = 64

/** Where the known fields of this length and first letter (in either case) stand. */
function bucket(length: number, first: number): number {
  return length * 32 + (first & 31)
}

/** Finds known header fields by their bytes: by length and first letter, so that most fields cost one look into an array. */
export class FieldTable {
  readonly captures: number
  readonly #buckets: (readonly KnownField[] | null)[] = Array.from({ length: bucket(LONGEST_NAME + 1, 0) }, () => null)

  /** `fields` maps lower-case names to kinds; captured fields are numbered in their order, and do not pass on where they are among `dropped`. */
  constructor(fields: readonly (readonly [name: string, kind: KnownField['kind']])[], dropped: readonly string[] = []) {
    let captures = 0
    for (const [text, kind] of fields) {
      const capture = kind === FIELD.captured ? captures++ : -1
      const known = { name: ascii(text), kind, capture, dropped: dropped.includes(text) }
      const place = bucket(text.length, text.charCodeAt(0))
      this.#buckets[place] = [...(this.#buckets[place] ?? []), known]
    }
    this.captures = captures
  }

  /** The known field whose name stands at `start` to `end` (a token), or undefined. */
  find(bytes: Uint8Array, start: number, end: number): KnownField | undefined {
    const candidates = this.#buckets[bucket(end - start, bytes[start]!)]
    if (candidates === undefined || candidates === null) return undefined
    for (let i = 0; i < candidates.length; i++) {
      if (equalsIgnoringCase(bytes, start, candidates[i]!.name)) return candidates[i]
    }
    return undefined
  }
}

const HOP_BY_HOP = ['keep-alive', 'proxy-connection', 'te', 'trailer', 'proxy-authenticate', 'proxy-authorization']

const FRAMING = [
  ['content-length', FIELD.contentLength],
  ['transfer-encoding', FIELD.transferEncoding],
  ['connection', FIELD.connection],
  ['upgrade', FIELD.upgrade],
  ...HOP_BY_HOP.map(name => [name, FIELD.hopByHop] as const)
] as const

/** Fields of requests; names are lower case. */
export function requestFieldTable(options: { captured: readonly string[]; stripped: readonly string[] }): FieldTable {
  const { captured, stripped } = options
  return new FieldTable(
    [
      ...FRAMING,
      ['host', FIELD.host],
      ['x-forwarded-for', FIELD.forwardedFor],
      ['x-forwarded-host', FIELD.forwardedHost],
      ['x-forwarded-proto', FIELD.forwardedProto],
      ...captured.map(name => [name, FIELD.captured] as const),
      ...stripped.filter(name => !captured.includes(name)).map(name => [name, FIELD.stripped] as const)
    ],
    stripped
  )
}

/** Fields of responses; the refusal field, where there is one, is the first captured field, and no client's business. */
export function responseFieldTable(refusalField: string | null): FieldTable {
  if (refusalField === null) return new FieldTable(FRAMING)
  return new FieldTable([...FRAMING, [refusalField, FIELD.captured]], [refusalField])
}
