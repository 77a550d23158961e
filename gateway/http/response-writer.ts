import { FRAMING } from './body-framing.ts'
import type { OutputBuffer } from './output-buffer.ts'
import type { ResponseHead } from './response-head.ts'
import type { Connection } from './transport.ts'

const END_OF_LINE = Buffer.from('\r\n')
const LAST_CHUNK = Buffer.from('0\r\n\r\n')

/** Writes one response to a client, in the framing that the client understands. */
export class ResponseWriter {
  /** Its head has been written. */
  started = false
  readonly #output: OutputBuffer
  readonly #connection: Connection
  #rechunks = false
  #endsWithConnection = false

  constructor(output: OutputBuffer, connection: Connection) {
    this.#output = output
    this.#connection = connection
  }

  /** Only a reset can tell the client that something is missing: there is neither a length nor a last chunk. */
  get needsResetWhenCut(): boolean {
    return this.#endsWithConnection
  }

  reset(): void {
    this.started = this.#rechunks = this.#endsWithConnection = false
  }

  /** Sends a 1xx head. */
  interim(head: ResponseHead): void {
    this.#copyHead(head)
    this.#output.add(END_OF_LINE)
    this.#output.sendTo(this.#connection)
  }

  /** Tells whether a response with this framing ends with the connection: bodies without a length go to HTTP/1.0 clients so. */
  endsWithConnection(framing: number, decodesChunks: boolean): boolean {
    return decodesChunks && (framing === FRAMING.chunked || framing === FRAMING.untilClose)
  }

  /** Adds the final head. */
  begin(
    head: ResponseHead,
    options: { framing: number; decodesChunks: boolean; close: boolean; keepAlive: boolean }
  ): void {
    const { framing, decodesChunks } = options
    this.started = true
    this.#endsWithConnection = this.endsWithConnection(framing, decodesChunks)
    this.#rechunks = framing === FRAMING.untilClose && !decodesChunks
    this.#copyHead(head)
    const output = this.#output
    if (this.#rechunks) output.text('Transfer-Encoding: chunked\r\n')
    if (options.close) output.text('Connection: close\r\n')
    else if (options.keepAlive) output.text('Connection: keep-alive\r\n')
    output.add(END_OF_LINE)
  }

  /** Sends the head of an upgrade. */
  upgrade(head: ResponseHead, protocol: string): void {
    this.started = true
    this.#copyHead(head)
    this.#output.text(`Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`)
    this.#output.sendTo(this.#connection)
  }

  #copyHead(head: ResponseHead): void {
    const { kept, keptLength } = head.fields
    if (head.minorVersion === 0) this.#output.text('HTTP/1.1')
    for (let i = 0; i < keptLength; i += 2) this.#output.copy(head.bytes, kept[i]!, kept[i + 1]!)
  }

  /** Adds body bytes. */
  body(bytes: Buffer, start: number, end: number): void {
    if (!this.#rechunks) {
      this.#output.pass(bytes, start, end, this.#connection)
      return
    }
    const size = Buffer.from(`${(end - start).toString(16)}\r\n`)
    this.#output.pass(size, 0, size.length, this.#connection)
    this.#output.pass(bytes, start, end, this.#connection)
    this.#output.pass(END_OF_LINE, 0, END_OF_LINE.length, this.#connection)
  }

  /** Sends what was added. Returns false where the client wants no more for now. */
  flush(): boolean {
    return this.#output.sendTo(this.#connection)
  }

  /** Ends the body. */
  end(): void {
    if (this.#rechunks) this.#output.pass(LAST_CHUNK, 0, LAST_CHUNK.length, this.#connection)
    this.#output.sendTo(this.#connection)
  }
}
