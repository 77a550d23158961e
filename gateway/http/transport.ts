import type { LookupFunction, Socket } from 'node:net'

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
  /** The memory of the bytes that it reads is the reader's to keep. */
  readonly givesReads: boolean
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
  /** Bytes came in; unless the connection `givesReads`, `bytes` is valid only until the call returns. */
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

/** Where to dial. */
export interface DialOptions {
  readonly host: string
  readonly port: number
  /** Resolves the host's name; may refuse what it resolves to. Default: the system's. */
  readonly lookup?: LookupFunction
  /** Called once the peer accepted. */
  readonly onConnected: () => void
}

/** How connections are made. */
export interface Transport {
  /** Accepted sockets must come paused. */
  readonly acceptsPaused: boolean
  /** Takes over a socket that a server accepted. */
  accept(socket: Socket): Connection
  dial(options: DialOptions): Connection
}
