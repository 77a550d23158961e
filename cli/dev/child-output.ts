import type { ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import type { WriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { parseLogLine, readableLogLine } from './log-line.ts'

const KEPT_LINES = 20
const SHOWN_LEVELS: ReadonlySet<unknown> = new Set(['warn', 'error', 'fatal'])

/** What a child says: every line goes to its log file, the ones a person should see go to the terminal with the child's name before them. */
export class ChildOutput {
  readonly #name: string
  readonly #file: WriteStream
  readonly #verbose: boolean
  readonly #last: string[] = []

  constructor(name: string, options: { logFile: string; verbose: boolean }) {
    this.#name = name
    this.#verbose = options.verbose
    this.#file = createWriteStream(options.logFile, { flags: 'a' })
    this.#file.on('error', error => process.stderr.write(`${name}  cannot write its log: ${error.message}\n`))
  }

  /** Reads what the child writes until it ends. What it says on stdout is for the file only: Redis's chatter, access logs. */
  read(child: ChildProcess): void {
    readLines(child.stdout, line => this.#take(line, false))
    readLines(child.stderr, line => this.#take(line, true))
  }

  /** The last lines, for a message about a child that did not start; they are what explains it. */
  get lastWords(): string {
    return this.#last.map(line => `  ${readableLogLine(line)}`).join('\n')
  }

  /** Flushes the log file and closes it. */
  async close(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#file.end(resolve)
    })
  }

  #take(line: string, forPeople: boolean): void {
    this.#file.write(`${line}\n`)
    this.#last.push(line)
    if (this.#last.length > KEPT_LINES) this.#last.shift()
    const record = parseLogLine(line)
    const shown = forPeople && (record === null || SHOWN_LEVELS.has(record['level']))
    if (shown || this.#verbose) process.stderr.write(`${this.#name}  ${readableLogLine(line)}\n`)
  }
}

function readLines(stream: Readable | null, take: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream, crlfDelay: Infinity }).on('line', take)
}
