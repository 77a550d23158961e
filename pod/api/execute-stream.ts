import type { ServerResponse } from 'node:http'
import { StringDecoder } from 'node:string_decoder'
import { asPodError } from '../errors.ts'
import type { Route, SessionCall } from '../http/call.ts'
import type { CommandOutcome, OutputName } from '../session/commands/run-command.ts'
import { withinMs } from '../within.ts'
import { readCommand, runInSession } from './command-request.ts'
import type { CommandSettings, ParsedCommand } from './command-request.ts'

const LAST_LINE_MS = 1_000

/**
 * `POST /execute/stream {"command"}`: NDJSON as it happens: `stdout` and `stderr` lines with `data`, at last one `exit` line.
 * A stream without an `exit` line was cut short, and its connection is cut too.
 */
export function executeStreamRoute(settings: CommandSettings, maxOutputBytes: number): Route {
  const handle = (call: SessionCall): Promise<void> => executeStream(call, { settings, maxOutputBytes })
  return {
    kind: 'session',
    method: 'POST',
    path: '/execute/stream',
    dialect: 'sandbox',
    access: 'run',
    idInPath: false,
    handle
  }
}

interface StreamOptions {
  settings: CommandSettings
  maxOutputBytes: number
}

async function executeStream(call: SessionCall, options: StreamOptions): Promise<void> {
  const parsed = await readCommand(call, options.settings)
  const lines = new LineWriter(call.response, call.signal)
  lines.begin()
  try {
    const outcome = await stream(call, lines, { ...options, parsed })
    if (outcome.reason !== 'not-started') await call.changed()
    await lines.write({
      type: 'exit',
      exitCode: outcome.exitCode,
      reason: outcome.reason,
      ...(outcome.message !== '' && { message: outcome.message })
    })
    call.response.end()
  } catch (error) {
    const { code, message } = asPodError(error)
    await lines.last({ type: 'error', code, error: message })
    // The dispatcher cuts the connection.
    throw error
  }
}

async function stream(
  call: SessionCall,
  lines: LineWriter,
  options: StreamOptions & { parsed: ParsedCommand }
): Promise<CommandOutcome> {
  const decoders = { stdout: new StringDecoder('utf8'), stderr: new StringDecoder('utf8') }
  const write = async (type: OutputName, data: string): Promise<void> => {
    if (data !== '') await lines.write({ type, data })
  }
  const outcome = await runInSession(call, {
    ...options,
    onOutput: (name, chunk) => write(name, decoders[name].write(chunk))
  })
  // What is left of a character that never came whole.
  for (const name of ['stdout', 'stderr'] as const) await write(name, decoders[name].end())
  if (outcome.reason === 'not-started') await write('stderr', outcome.message)
  return outcome
}

/** Writes JSON lines at once, and waits where the client does not keep up. */
class LineWriter {
  readonly #response: ServerResponse
  readonly #signal: AbortSignal

  constructor(response: ServerResponse, signal: AbortSignal) {
    this.#response = response
    this.#signal = signal
  }

  begin(): void {
    this.#response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-cache' })
    this.#response.flushHeaders()
  }

  async write(line: object): Promise<void> {
    if (this.#signal.aborted) return
    if (!this.#response.write(`${JSON.stringify(line)}\n`)) await this.#drained()
  }

  /** Writes a line before the connection is cut, and waits until it has gone out, but not for a client that does not read. */
  async last(line: object): Promise<void> {
    if (this.#response.destroyed) return
    const written = Promise.withResolvers<void>()
    this.#response.write(`${JSON.stringify(line)}\n`, () => written.resolve())
    await withinMs(LAST_LINE_MS, written.promise)
  }

  /** Resolves when there is room again, or when nobody wants the line any more. */
  #drained(): Promise<void> {
    return new Promise(resolve => {
      const done = (): void => {
        this.#response.off('drain', done)
        this.#signal.removeEventListener('abort', done)
        resolve()
      }
      this.#response.once('drain', done)
      this.#signal.addEventListener('abort', done)
    })
  }
}
