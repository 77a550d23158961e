import { errorText } from '../lib/errors.ts'

/** Tells what happens on stdout: chapters, what was done, what came back, and what was checked. */
export class Narrator {
  readonly #startedAt = performance.now()
  #chapters = 0
  #checks = 0
  #failed = false

  /** Begins a chapter of the story. */
  chapter(title: string): void {
    this.#chapters += 1
    this.#write(`\n${this.#chapters}. ${title}\n`)
  }

  /** What is done, as somebody would type it. */
  doing(command: string): void {
    this.#write(`   $ ${command}\n`)
  }

  /** What came back, line by line. */
  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#write(`     ${line}\n`)
  }

  /** States a fact and checks it; ends the story where it does not hold. */
  check(fact: string, holds: boolean): void {
    if (!holds) throw new Error(`this should hold, and does not: ${fact}`)
    this.#checks += 1
    this.#write(`   ✓ ${fact}\n`)
  }

  /** The step that was under way has failed. */
  failed(reason: unknown): void {
    this.#failed = true
    this.#write(`   ✗ ${errorText(reason)}\n`)
  }

  /** The last line. */
  summary(): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1)
    this.#write(`\ndemo: ${this.#failed ? 'FAILED' : 'ok'}, ${this.#checks} facts checked in ${seconds} s\n`)
  }

  #write(text: string): void {
    process.stdout.write(text)
  }
}
