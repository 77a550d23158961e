import { connect, type Socket } from 'node:net'
import { getSystemErrorName } from 'node:util'

import type { Connection, ConnectionHandler, DialOptions, Transport, WriteResult } from './transport.ts'

// What of Node's internal stream handles is used here. None of it is documented: hence the check in `handleTransport`.

interface WriteRequest {
  oncomplete: (status: number) => void
  /** Keeps the bytes alive until the kernel has them: freed memory would be sent, another tenant's for instance. */
  buffer: Buffer | null
}

interface TcpHandle {
  onread: () => void
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  readStop(): number
  writeBuffer(request: WriteRequest, bytes: Buffer): number
  shutdown(request: { oncomplete: (status: number) => void }): number
  close(callback: () => void): void
  reset(callback: () => void): number
  setNoDelay(on: boolean): number
}

interface StreamBinding {
  WriteWrap: new () => WriteRequest
  ShutdownWrap: new () => { oncomplete: (status: number) => void }
  streamBaseState: Int32Array
  kReadBytesOrError: number
  kLastWriteWasAsync: number
}

function systemError(status: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(status)
  return Object.assign(new Error(code), { code, errno: status })
}

/** A connection on the handle below `net.Socket`: no stream machinery in either direction. */
class HandleConnection implements Connection {
  handler: ConnectionHandler | null = null
  readonly givesReads = false
  readonly #binding: StreamBinding
  readonly #readBuffer: Buffer
  #handle: TcpHandle | null = null
  /** Used for the next write; one that did not complete at once needs its own. */
  #request: WriteRequest
  #pending = 0
  #paused = false
  #ended = false
  #endsWhenSent = false
  #closed = false
  #onCancel: (() => void) | null = null

  constructor(binding: StreamBinding, readBuffer: Buffer) {
    this.#binding = binding
    this.#readBuffer = readBuffer
    this.#request = new binding.WriteWrap()
  }

  /** Until `adopt` there is only this to be done to close the connection. */
  set onCancel(cancel: () => void) {
    this.#onCancel = cancel
  }

  adopt(handle: TcpHandle): void {
    this.#handle = handle
    this.#onCancel = null
    handle.onread = () => this.#onRead()
    handle.useUserBuffer(this.#readBuffer)
    if (!this.#paused) handle.readStart()
  }

  get hasQueued(): boolean {
    return this.#pending > 0
  }

  get isFull(): boolean {
    return this.#pending > 0
  }

  write(bytes: Buffer): WriteResult {
    const handle = this.#handle
    if (handle === null) return 'taken'
    const behind = this.#pending > 0
    const request = this.#request
    const sent = behind ? Buffer.from(bytes) : bytes
    const status = handle.writeBuffer(request, sent)
    if (status !== 0) {
      // Not within the call: no caller expects its connection to be gone when a write returns.
      queueMicrotask(() => this.#broken(status))
      return 'taken'
    }
    if (this.#binding.streamBaseState[this.#binding.kLastWriteWasAsync] === 0) return 'taken'
    this.#request = new this.#binding.WriteWrap()
    this.#pending++
    request.buffer = sent
    request.oncomplete = result => this.#onSent(request, result)
    return behind ? 'taken-full' : 'kept-full'
  }

  #onSent(request: WriteRequest, status: number): void {
    request.buffer = null
    this.#pending--
    if (this.#closed) return
    if (status < 0) this.#broken(status)
    else if (this.#pending === 0) {
      if (this.#endsWhenSent) this.destroy()
      else this.handler?.onDrain()
    }
  }

  #onRead(): void {
    if (this.#closed) return
    const length = this.#binding.streamBaseState[this.#binding.kReadBytesOrError] ?? 0
    if (length > 0) this.handler?.onBytes(this.#readBuffer, length)
    else if (length < 0) this.#onReadEnd(length)
  }

  #onReadEnd(status: number): void {
    this.#ended = true
    this.#handle?.readStop()
    if (getSystemErrorName(status) === 'EOF') this.handler?.onEnd()
    else this.#broken(status)
  }

  #broken(status: number): void {
    if (this.#closed) return
    this.handler?.onError(systemError(status))
    this.destroy()
  }

  pause(): void {
    this.#paused = true
    this.#handle?.readStop()
  }

  resume(): void {
    this.#paused = false
    if (!this.#ended) this.#handle?.readStart()
  }

  end(): void {
    const request = new this.#binding.ShutdownWrap()
    request.oncomplete = () => {}
    this.#handle?.shutdown(request)
  }

  endThenDestroy(): void {
    if (this.#pending === 0) this.destroy()
    else this.#endsWhenSent = true
  }

  destroy(): void {
    this.#close(handle => handle.close(() => this.#afterClose()))
  }

  reset(): void {
    this.#close(handle => {
      if (handle.reset(() => this.#afterClose()) !== 0) handle.close(() => this.#afterClose())
    })
  }

  #close(how: (handle: TcpHandle) => void): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#handle === null) this.#onCancel?.()
    else how(this.#handle)
  }

  #afterClose(): void {
    const { handler } = this
    this.handler = null
    this.#handle = null
    handler?.onClose()
  }
}

/** Takes the handle out of a socket that is not reading; the socket itself is not used again. */
function takeHandle(socket: Socket): TcpHandle | null {
  const inner = socket as unknown as { _handle: TcpHandle | null }
  const handle = inner._handle
  inner._handle = null
  return handle
}

const READ_BUFFER_BYTES = 65_536

class HandleTransport implements Transport {
  readonly acceptsPaused = true
  readonly #binding: StreamBinding
  /** One for all connections: reads are delivered one at a time, and whoever gets one uses it before the next. */
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)

  constructor(binding: StreamBinding) {
    this.#binding = binding
  }

  accept(socket: Socket): Connection {
    const connection = new HandleConnection(this.#binding, this.#readBuffer)
    const handle = takeHandle(socket)
    // The first read comes in a later turn of the loop, after the owner has set its handler.
    if (handle !== null) connection.adopt(handle)
    return connection
  }

  dial(options: DialOptions): Connection {
    const { onConnected, ...target } = options
    const connection = new HandleConnection(this.#binding, this.#readBuffer)
    const socket = connect({ ...target, noDelay: true, allowHalfOpen: true })
    connection.onCancel = () => socket.destroy()
    socket.once('error', (error: NodeJS.ErrnoException) => connection.handler?.onError(error))
    socket.once('connect', () => {
      const handle = takeHandle(socket)
      if (handle === null) return
      connection.adopt(handle)
      onConnected()
    })
    return connection
  }
}

/**
 * A transport on Node's internal handles: about a fifth less processor time per request, at the price of interfaces that Node may
 * change. Returns null where this Node does not have what it needs.
 */
export function handleTransport(): Transport | null {
  try {
    const node = process as unknown as { binding(name: string): Partial<StreamBinding> }
    const stream = node.binding('stream_wrap')
    const complete =
      typeof stream.WriteWrap === 'function' &&
      typeof stream.ShutdownWrap === 'function' &&
      stream.streamBaseState instanceof Int32Array &&
      typeof stream.kReadBytesOrError === 'number' &&
      typeof stream.kLastWriteWasAsync === 'number'
    return complete ? new HandleTransport(stream as StreamBinding) : null
  } catch {
    return null
  }
}
