import { StringDecoder } from 'node:string_decoder'
import { sendJson } from '../http/answer.ts'
import type { Route, SessionCall } from '../http/call.ts'
import type { CommandOutcome, OutputName } from '../session/commands/run-command.ts'
import { readCommand, runInSession } from './command-request.ts'
import type { CommandSettings } from './command-request.ts'

/** `POST /execute {"command"}`: runs a command to its end and answers `{"stdout","stderr","exit_code"}`. */
export function executeRoute(settings: CommandSettings, maxOutputBytes: number): Route {
  const handle = (call: SessionCall): Promise<void> => execute(call, { settings, maxOutputBytes })
  return {
    kind: 'session',
    method: 'POST',
    path: '/execute',
    dialect: 'sandbox',
    access: 'run',
    idInPath: false,
    handle
  }
}

async function execute(
  call: SessionCall,
  options: { settings: CommandSettings; maxOutputBytes: number }
): Promise<void> {
  const { settings, maxOutputBytes } = options
  const parsed = await readCommand(call, settings)
  const outputs = { stdout: new CappedText(maxOutputBytes), stderr: new CappedText(maxOutputBytes) }
  const onOutput = (name: OutputName, chunk: Buffer): void => outputs[name].add(chunk)
  const outcome = await runInSession(call, { parsed, settings, maxOutputBytes: Number.POSITIVE_INFINITY, onOutput })
  if (outcome.reason !== 'not-started') await call.changed()
  const notes = notesOf(outputs, outcome)
  const stderr = outputs.stderr.text()
  sendJson(call.response, 200, {
    stdout: outputs.stdout.text(),
    stderr: notes.length === 0 ? stderr : [...(stderr === '' ? [] : [stderr]), ...notes].join('\n'),
    exit_code: outcome.exitCode
  })
}

/** What the pod has to say about a run, for the end of stderr. Ending by a signal needs no words: the code says it. */
function notesOf(outputs: Record<OutputName, CappedText>, outcome: CommandOutcome): string[] {
  const cut = (['stdout', 'stderr'] as const)
    .filter(name => outputs[name].droppedBytes > 0)
    .map(name => `fairlead: ${name} was cut, ${outputs[name].droppedBytes} more bytes were dropped`)
  const ended = outcome.reason === 'exited' || outcome.reason === 'signaled' ? [] : [`fairlead: ${outcome.message}`]
  return [...cut, ...ended]
}

/** Text of one output up to a number of bytes; what comes after is counted and dropped. */
class CappedText {
  droppedBytes = 0
  readonly #decoder = new StringDecoder('utf8')
  readonly #pieces: string[] = []
  #leftBytes: number

  constructor(maxBytes: number) {
    this.#leftBytes = maxBytes
  }

  add(chunk: Buffer): void {
    const kept = chunk.subarray(0, this.#leftBytes)
    this.#leftBytes -= kept.length
    this.droppedBytes += chunk.length - kept.length
    if (kept.length > 0) this.#pieces.push(this.#decoder.write(kept))
  }

  text(): string {
    return this.#pieces.join('') + this.#decoder.end()
  }
}
