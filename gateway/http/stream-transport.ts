import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

import type { Connection, ConnectionHandler, DialOptions, Transport, WriteResult } from './transport.ts'

class StreamConnection implements Connection {
  handler: ConnectionHandler | null = null
  readonly givesReads: boolean
  readonly #stream: Duplex

  constructor(stream: Duplex, options: { givesReads: boolean }) {
    this.#stream = stream
    this.givesReads = options.givesReads
    stream.on('end', () => this.handler?.onEnd())
    stream.on('drain', () => this.handler?.onDrain())
    stream.on('error', (error: NodeJS.ErrnoException) => this.handler?.onError(error))
    stream.on('close', () => {
      const { handler } = this
      this.handler = null
      handler?.onClose()
    })
  }

  get hasQueued(): boolean {
    return this.#stream.writableLength > 0
  }

  get isFull(): boolean {
    return this.#stream.writableNeedDrain
  }

  write(bytes: Buffer): WriteResult {
    // Behind other bytes this one waits too; a copy keeps no more memory than it needs.
    if (this.#stream.writableLength > 0) return this.#stream.write(Buffer.from(bytes)) ? 'taken' : 'taken-full'
    const more = this.#stream.write(bytes)
    if (this.#stream.writableLength === 0) return 'taken'
    return more ? 'kept' : 'kept-full'
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  end(): void {
    this.#stream.end()
  }

  endThenDestroy(): void {
    const stream = this.#stream
    // With nothing queued, closing sends FIN behind what the kernel has.
    if (stream.writableLength === 0) stream.destroy()
    else stream.end(() => stream.destroy())
  }

  destroy(): void {
    this.#stream.destroy()
  }

  reset(): void {
    this.#stream.destroy()
  }
}

class SocketConnection extends StreamConnection {
  readonly #socket: Socket

  constructor(socket: Socket, options: { givesReads: boolean }) {
    super(socket, options)
    this.#socket = socket
  }

  override reset(): void {
    this.#socket.resetAndDestroy()
  }
}

/**
 * One end of a stream within this process. The far end keeps what it is given until it reads it, so the bytes are copied; and it
 * would answer within the call, which no caller expects, so they go a microtask later.
 */
class LocalConnection extends StreamConnection {
  // A write counts as done only when the far end asks for more, which is later than its answer: no sign of an unread request.
  override get hasQueued(): boolean {
    return this.isFull
  }

  override write(bytes: Buffer): WriteResult {
    const copy = Buffer.from(bytes)
    queueMicrotask(() => super.write(copy))
    return this.isFull ? 'taken-full' : 'taken'
  }

  override end(): void {
    queueMicrotask(() => super.end())
  }

  override endThenDestroy(): void {
    queueMicrotask(() => super.endThenDestroy())
  }
}

/** Takes over one end of an in-process stream. */
export function localConnection(duplex: Duplex): Connection {
  const connection = new LocalConnection(duplex, { givesReads: true })
  duplex.on('data', (bytes: Buffer) => connection.handler?.onBytes(bytes, bytes.length))
  return connection
}

const READ_BUFFER_BYTES = 65_536

/** The default transport: `net.Socket`, public API only. */
export class StreamTransport implements Transport {
  readonly acceptsPaused = false
  /** One for all dialled connections: reads are delivered one at a time. */
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)

  accept(socket: Socket): Connection {
    const connection = new SocketConnection(socket, { givesReads: true })
    socket.on('data', (bytes: Buffer) => connection.handler?.onBytes(bytes, bytes.length))
    return connection
  }

  dial(options: DialOptions): Connection {
    const { onConnected, ...target } = options
    const buffer = this.#readBuffer
    let connection: Connection | null = null
    const callback = (length: number): boolean => {
      connection?.handler?.onBytes(buffer, length)
      return true
    }
    const socket = connect({ ...target, noDelay: true, allowHalfOpen: true, onread: { buffer, callback } })
    socket.once('connect', onConnected)
    connection = new SocketConnection(socket, { givesReads: false })
    return connection
  }
}
