import type { SeededRandom } from '../../fixtures/seeded-random.ts'
import { SeededRandom as Random } from '../../fixtures/seeded-random.ts'

/** What an upstream is to answer; client and upstream both work it out from the number that the request carries. */
export interface ResponsePlan {
  readonly status: number
  readonly interim: boolean
  readonly framing: 'none' | 'length' | 'chunked' | 'until-close'
  readonly body: Buffer
  readonly trailers: string
  /** The bytes to send, in pieces. */
  readonly parts: readonly Buffer[]
  /** The parts are not all of it: the connection is destroyed after them. */
  readonly cut: boolean
  /** The connection ends after the response. */
  readonly close: boolean
}

/** One request as bytes, and what must come back. */
export interface PlannedRequest {
  readonly method: string
  readonly wire: Buffer
  readonly response: ResponsePlan
}

const POOL_BYTES = 1 << 20
const FIELD_NAMES = ['Accept', 'X-Request-Id', 'User-Agent', 'Cookie', 'X-Long', 'Content-Type']

/** Bytes that bodies are cut out of: random, and the same for a seed. */
export function bodyPool(random: SeededRandom): Buffer {
  const pool = Buffer.alloc(POOL_BYTES)
  for (let i = 0; i < POOL_BYTES; i += 4) pool.writeInt32LE(random.below(0x7fff_ffff), i)
  return pool
}

/** Most bodies are small, so that many requests fit into the time; some are larger than any buffer on their way. */
function bodyLength(random: SeededRandom): number {
  const kind = random.below(1000)
  if (kind < 600) return random.below(200)
  if (kind < 900) return random.below(3_000)
  return random.below(kind < 995 ? 20_000 : 300_000)
}

/** Makes a request with a random method, framing and fields. */
export function planRequest(random: SeededRandom, pool: Buffer): PlannedRequest {
  const method = random.pick(['GET', 'HEAD', 'POST', 'POST', 'POST', 'PUT', 'PATCH'])
  const hasBody = method !== 'GET' && method !== 'HEAD'
  const length = hasBody ? bodyLength(random) : 0
  const offset = random.below(POOL_BYTES - length)
  const body = pool.subarray(offset, offset + length)
  const number = random.below(0x7fff_ffff)
  const head = [
    `${method} /${'a'.repeat(random.below(60))}?n=${number} HTTP/1.1`,
    'Host: fuzz.test',
    `X-Plan: ${number}`
  ]
  for (let i = random.below(6); i > 0; i--) head.push(`${random.pick(FIELD_NAMES)}: ${'v'.repeat(random.below(80))}`)
  const chunks = hasBody && random.oneIn(2)
  if (chunks) head.push(random.pick(['Transfer-Encoding: chunked', 'transfer-encoding:CHUNKED']))
  else if (hasBody) head.push(`Content-Length: ${length}`)
  const headBytes = Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1')
  const wire = Buffer.concat([headBytes, ...(chunks ? chunkParts(random, body, trailerText(random)) : [body])])
  return { method, wire, response: planResponse(number, method, body) }
}

/** What the upstream answers to request `number`. */
export function planResponse(number: number, method: string, requestBody: Buffer): ResponsePlan {
  const random = new Random(number)
  const bodiless = method === 'HEAD' || random.oneIn(20)
  const status = method !== 'HEAD' && bodiless ? random.pick([204, 304]) : 200
  const framing = bodiless ? 'none' : random.pick(FRAMINGS)
  const body = bodiless ? Buffer.alloc(0) : Buffer.concat([Buffer.from(`${number}:`), requestBody])
  const trailers = framing === 'chunked' ? trailerText(random) : ''
  const close = framing === 'until-close' || random.oneIn(20)
  const interim = random.oneIn(10)
  const head = `HTTP/1.1 ${status} Planned\r\nX-Number: ${number}\r\n${FRAMING_FIELDS[framing](body.length)}${close ? 'Connection: close\r\n' : ''}\r\n`
  const hints = interim ? 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' : ''
  const bodyParts = framing === 'chunked' ? chunkParts(random, body, trailers) : [body]
  const wire = Buffer.concat([Buffer.from(hints + head, 'latin1'), ...bodyParts])
  const cut = random.oneIn(60)
  const sent = cut ? wire.subarray(0, random.below(wire.length - 1)) : wire
  return { status, interim, framing, body, trailers, parts: split(random, sent), cut, close }
}

const FRAMINGS = ['length', 'length', 'length', 'chunked', 'chunked', 'chunked', 'until-close'] as const

const FRAMING_FIELDS: Record<ResponsePlan['framing'], (length: number) => string> = {
  none: () => '',
  length: length => `Content-Length: ${length}\r\n`,
  chunked: () => 'Transfer-Encoding: chunked\r\n',
  'until-close': () => ''
}

function trailerText(random: SeededRandom): string {
  return random.oneIn(5) ? `X-T1: ${random.below(1000)}${random.oneIn(2) ? '\r\nX-T2: a b' : ''}` : ''
}

function chunkParts(random: SeededRandom, body: Buffer, trailers: string): Buffer[] {
  const parts: Buffer[] = []
  for (let offset = 0; offset < body.length;) {
    const size = Math.min(body.length - offset, 1 + random.below(random.oneIn(3) ? 50 : 40_000))
    const digits = '0'.repeat(random.below(3)) + (random.oneIn(2) ? size.toString(16) : size.toString(16).toUpperCase())
    parts.push(
      Buffer.from(`${digits}${extension(random)}\r\n`),
      body.subarray(offset, offset + size),
      Buffer.from('\r\n')
    )
    offset += size
  }
  parts.push(Buffer.from(`0${extension(random)}\r\n${trailers === '' ? '' : `${trailers}\r\n`}\r\n`))
  return parts
}

function extension(random: SeededRandom): string {
  return random.oneIn(8) ? random.pick([';a', ';a=b', ';a="b;\\" c"', ';a=b;c=d', ';n=""']) : ''
}

/** Cuts bytes into pieces: mostly few, now and then many tiny ones. */
export function split(random: SeededRandom, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = []
  const tiny = random.oneIn(10)
  for (let offset = 0; offset < bytes.length;) {
    const whole = pieces.length > 40 || random.oneIn(2)
    const size = whole ? bytes.length - offset : 1 + random.below(tiny ? 20 : bytes.length)
    pieces.push(bytes.subarray(offset, offset + size))
    offset += size
  }
  return pieces
}
