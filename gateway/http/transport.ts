import { connect as connectSocket, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/**
 * `taken`: the bytes are out or copied, their memory may be used again. `kept`: their memory belongs to the connection now.
 * With `-full` it wants no more until `onDrain`.
 */
export type WriteResult = 'taken' | 'taken-full' | 'kept' | 'kept-full'

/** One byte stream to a peer. Its owner attaches a handler at once and ends it by `destroy`, `reset` or `endThenDestroy`. */
export interface Connection {
  handler: ConnectionHandler | null
  /** Bytes that were written wait for the peer to take more. */
  readonly hasQueued: boolean
  /** It wants no more bytes until `onDrain`. */
  readonly isFull: boolean
  write(bytes: Buffer): WriteResult
  pause(): void
  resume(): void
  /** Sends FIN after what is queued; reading goes on. */
  end(): void
  /** Sends what is queued, then FIN, then closes. */
  endThenDestroy(): void
  /** Closes at once; queued bytes may be lost. */
  destroy(): void
  /** Closes with RST, so that the peer cannot take what it got for complete. */
  reset(): void
}

/** What happens on a connection. Nothing is called after `onClose`, nor after the owner took its handler away. */
export interface ConnectionHandler {
  /** Bytes came in; `bytes` is valid only until the call returns. */
  onBytes(bytes: Buffer, length: number): void
  /** The peer sent FIN. */
  onEnd(): void
  /** What was queued has gone out. */
  onDrain(): void
  /** The connection failed; `onClose` follows. */
  onError(error: NodeJS.ErrnoException): void
  /** Gone, whoever closed it. */
  onClose(): void
}

class StreamConnection implements Connection {
  handler: ConnectionHandler | null = null
  readonly #stream: Duplex

  constructor(stream: Duplex) {
    this.#stream = stream
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
    if (stream.writableFinished) stream.destroy()
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

  constructor(socket: Socket) {
    super(socket)
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

/** Takes over a socket that a server accepted. */
export function acceptedConnection(socket: Socket): Connection {
  const connection = new SocketConnection(socket)
  socket.on('data', (bytes: Buffer) => connection.handler?.onBytes(bytes, bytes.length))
  return connection
}

/** Takes over one end of an in-process stream. */
export function localConnection(duplex: Duplex): Connection {
  const connection = new LocalConnection(duplex)
  duplex.on('data', (bytes: Buffer) => connection.handler?.onBytes(bytes, bytes.length))
  return connection
}

/** Dials; `onConnected` is called once the peer accepted. All dialled connections may share one `readBuffer`: reads are delivered one at a time. */
export function dialledConnection(options: {
  host: string
  port: number
  readBuffer: Buffer
  onConnected: () => void
}): Connection {
  const { host, port, readBuffer } = options
  let connection: Connection | null = null
  const socket = connectSocket({
    host,
    port,
    noDelay: true,
    allowHalfOpen: true,
    onread: {
      buffer: readBuffer,
      callback: length => {
        connection?.handler?.onBytes(readBuffer, length)
        return true
      }
    }
  })
  socket.once('connect', options.onConnected)
  connection = new SocketConnection(socket)
  return connection
}
