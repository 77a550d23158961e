import { close, open, write } from 'node:fs'
import { promisify } from 'node:util'
import type { Logger } from '../lib/log.ts'

const openFile = promisify(open)
const closeFile = promisify(close)

/** Bytes gathered before a write, and the longest time a line waits for one. */
const BATCH_BYTES = 65_536
const FLUSH_INTERVAL_MS = 100
/** Where an output takes nothing (a full pipe), this much is kept; lines beyond are dropped and counted. */
const MAX_PENDING_BYTES = 4 * 1024 * 1024
const RETRY_INTERVAL_MS = 20
const CLOSE_DEADLINE_MS = 2_000

/**
 * Takes finished lines and writes them in batches, without ever making a request wait: one `fs.write` at a time, in the thread pool.
 * `close` writes out what is left, within two seconds.
 */
export class AccessLog {
  readonly #fd: number
  readonly #log: Logger
  /** Lines are written into it at once: kept as strings, they would be garbage that lives long enough to be expensive. */
  #batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
  #batchBytes = 0
  #pendingBytes = 0
  readonly #queue: Buffer[] = []
  #writing = false
  #timer: NodeJS.Timeout | null = null
  #failed = false
  #closed = false
  #onIdle: (() => void) | null = null
  /** Lines that were dropped because the output was too slow or failed. */
  dropped = 0
  /** Lines accepted. */
  lines = 0

  constructor(fd: number, log: Logger) {
    this.#fd = fd
    this.#log = log
  }

  /** Opens an access log: `stdout`, or a file that is appended to. */
  static async open(target: string, log: Logger): Promise<AccessLog> {
    return new AccessLog(target === 'stdout' ? 1 : await openFile(target, 'a', 0o640), log)
  }

  /** Adds a line, which ends in a line feed. */
  add(line: string): void {
    // No UTF-16 unit takes more than three bytes.
    const mostBytes = line.length * 3
    if (this.#batchBytes + mostBytes > BATCH_BYTES) this.#flush()
    if (this.#closed || mostBytes > BATCH_BYTES || this.#pendingBytes + this.#batchBytes > MAX_PENDING_BYTES) {
      this.dropped++
      return
    }
    this.lines++
    this.#batchBytes += this.#batch.write(line, this.#batchBytes)
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_INTERVAL_MS)
  }

  /** Writes out what is left and closes the file; gives up what an output that takes nothing has not taken after two seconds. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#flush()
    if (this.#writing) await this.#idleOrDeadline()
    // A write that is still under way keeps its file: the number of a closed one may already mean something else.
    if (this.#fd > 2 && !this.#writing) await closeFile(this.#fd)
  }

  #idleOrDeadline(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(() => {
        this.#queue.length = 0
        resolve()
      }, CLOSE_DEADLINE_MS)
      this.#onIdle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#batchBytes === 0) return
    this.#pendingBytes += this.#batchBytes
    this.#queue.push(this.#batch.subarray(0, this.#batchBytes))
    this.#batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
    this.#batchBytes = 0
    if (!this.#writing) this.#writeNext()
  }

  #writeNext(): void {
    const bytes = this.#queue[0]
    this.#writing = bytes !== undefined
    if (bytes === undefined) {
      this.#onIdle?.()
      return
    }
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => this.#written(error, bytes, written))
  }

  #written(error: NodeJS.ErrnoException | null, bytes: Buffer, written: number): void {
    if (error?.code === 'EAGAIN') {
      setTimeout(() => this.#writeNext(), RETRY_INTERVAL_MS)
      return
    }
    this.#report(error)
    if (error === null && written < bytes.length) this.#queue[0] = bytes.subarray(written)
    else this.#queue.shift()
    if (error !== null) this.dropped += countLines(bytes)
    this.#pendingBytes = this.#queue.reduce((sum, batch) => sum + batch.length, 0)
    this.#writeNext()
  }

  /** A full disk fails every write: it is said once, and once again when it is over. */
  #report(error: Error | null): void {
    if ((error !== null) === this.#failed) return
    this.#failed = error !== null
    if (error !== null) this.#log.error({ err: error }, 'the access log cannot be written; lines are dropped')
    else this.#log.info('the access log can be written again')
  }
}

function countLines(bytes: Buffer): number {
  let lines = 0
  for (const byte of bytes) if (byte === 10) lines++
  return lines
}
