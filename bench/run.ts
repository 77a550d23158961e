import { startBackend, type Backend } from './backend.ts'
import { checkRouting } from './check-routing.ts'
import { judgeGoals } from './goals.ts'
import { startRedis } from './launch/redis.ts'
import { selectSubjects } from './launch/subjects.ts'
import { describeMachine } from './machine.ts'
import type { BenchOptions, ScenarioName } from './options.ts'
import { seedRegistry, settleRegistry } from './registry-seed.ts'
import { printFailover, printLoad, printMemory, printStreams } from './report.ts'
import type { Results } from './results.ts'
import { runFailover } from './scenarios/failover.ts'
import { LOAD_SCENARIOS, runLoad, type LoadScenario } from './scenarios/load.ts'
import { measureMemory } from './scenarios/memory.ts'
import { runStreams, STREAM_LOADS, type StreamLoad } from './scenarios/ndjson.ts'
import type { Setting } from './setting.ts'
import type { RunningSubject, Subject, SubjectContext } from './subject.ts'
import { summarizeLoad, summarizeStreams } from './summary.ts'
import { progress } from './terminal.ts'
import { wrkCommand } from './wrk.ts'

/** Runs the scenarios that were asked for and prints each table as soon as it is known. What fails is noted in `problems`, and the rest goes on. */
export class BenchRun {
  readonly results: Results
  readonly #setting: Setting
  readonly #options: BenchOptions
  #subjects: Subject[]

  constructor(setting: Setting, options: BenchOptions) {
    this.#setting = setting
    this.#options = options
    this.#subjects = selectSubjects(options.subjects)
    const startedAt = new Date().toISOString()
    const empty = { commands: {}, load: {}, streams: {}, memory: {}, failover: null, goals: [], problems: [] }
    this.results = { startedAt, options, machine: describeMachine(), ...empty }
  }

  /** Runs everything. */
  async run(): Promise<void> {
    if (this.#wants('small', 'body', 'upload', 'close', 'ndjson', 'memory')) await this.#compareProxies()
    if (this.#wants('failover')) await this.#attempt('failover', () => this.#failover())
    this.results.goals = judgeGoals(this.results)
  }

  async #compareProxies(): Promise<void> {
    const backend = await startBackend(this.#setting)
    const redisUrl = await startRedis(this.#setting)
    await settleRegistry(redisUrl)
    await seedRegistry(redisUrl, backend)
    this.#note('backend', 'load', backend.commands.join(' && '))
    const context = { setting: this.#setting, backend, redisUrl }
    if (this.#wants('small', 'body', 'upload', 'close', 'ndjson')) await this.#underLoad(context)
    if (this.#wants('memory')) await this.#memory(context)
  }

  async #underLoad(context: SubjectContext): Promise<void> {
    const running = await this.#startSubjects(context)
    for (const scenario of LOAD_SCENARIOS) {
      if (this.#wants(scenario.scenario)) {
        await this.#attempt(scenario.name, () => this.#load(scenario, { backend: context.backend, running }))
      }
    }
    for (const load of STREAM_LOADS) {
      if (this.#wants('ndjson'))
        await this.#attempt(load.name, () => this.#streams(load, { backend: context.backend, running }))
    }
    for (const subject of running) await this.#setting.stop(subject.child)
  }

  /** Those that do not start, or do not route, take no part in anything. */
  async #startSubjects(context: SubjectContext): Promise<RunningSubject[]> {
    const running: RunningSubject[] = []
    for (const subject of this.#subjects) {
      await this.#attempt(subject.name, async () => {
        progress(`starting ${subject.name} and checking its answers`)
        const started = await subject.start(context)
        this.#note(subject.name, 'subject', started.child.command.join(' '))
        await checkRouting(started, context.backend.sessions)
        running.push(started)
      })
    }
    this.#subjects = this.#subjects.filter(({ name }) => running.some(started => started.name === name))
    return running
  }

  async #load(scenario: LoadScenario, world: { backend: Backend; running: readonly RunningSubject[] }): Promise<void> {
    progress(`measuring ${scenario.name}`)
    const { rounds, durationSeconds } = this.#options
    const details = { setting: this.#setting, backend: world.backend, subjects: world.running, rounds, durationSeconds }
    const { samples, script } = await runLoad(scenario, details)
    const { connections } = scenario
    this.#note(
      `load ${scenario.name}`,
      'load',
      wrkCommand({ script, connections, durationSeconds, port: 'PORT' }).join(' ')
    )
    const summary = summarizeLoad(samples)
    const entries = { summary: Object.fromEntries(summary), samples: Object.fromEntries(samples) }
    this.results.load[scenario.name] = { title: scenario.title, ...entries }
    for (const [name, { badAnswers, socketErrors }] of summary) {
      if (badAnswers > 0) this.#problem(`${scenario.name}: ${name} gave ${badAnswers} answers other than 2xx`)
      if (socketErrors > 0) this.#problem(`${scenario.name}: ${socketErrors} socket errors or timeouts with ${name}`)
    }
    printLoad(`${scenario.name}: ${scenario.title}`, summary)
  }

  async #streams(load: StreamLoad, world: { backend: Backend; running: readonly RunningSubject[] }): Promise<void> {
    progress(`measuring ${load.name}`)
    const { rounds, durationSeconds } = this.#options
    const { sessions } = world.backend
    const samples = await runStreams(load, { sessions, subjects: world.running, rounds, durationSeconds })
    const summary = summarizeStreams(samples)
    const entries = { summary: Object.fromEntries(summary), samples: Object.fromEntries(samples) }
    this.results.streams[load.name] = { title: load.title, ...entries }
    for (const [name, { badStreams }] of summary) {
      if (badStreams > 0) this.#problem(`${load.name}: ${badStreams} streams through ${name} were incomplete`)
    }
    printStreams(`${load.name}: ${load.title}`, summary)
  }

  /** One subject after the other, each in a fresh process, because memory once taken is seldom given back. */
  async #memory(context: SubjectContext): Promise<void> {
    for (const subject of this.#subjects) {
      await this.#attempt(`memory of ${subject.name}`, async () => {
        progress(`measuring memory of ${subject.name}`)
        const running = await subject.start(context)
        this.#note(subject.name, 'subject', running.child.command.join(' '))
        const { sessions } = context.backend
        const sample = await measureMemory(running, { connections: this.#options.idleConnections, sessions })
        this.results.memory[subject.name] = sample
        if (sample.lost > 0) this.#problem(`memory: ${subject.name} lost ${sample.lost} connections`)
        await this.#setting.stop(running.child)
      })
    }
    printMemory(this.results.memory)
  }

  async #failover(): Promise<void> {
    progress(`measuring failover, ${this.#options.kills} kills`)
    const failover = await runFailover(this.#setting, this.#options.kills)
    this.results.failover = failover
    const [gateway = '', ...pods] = failover.commands
    this.#note('failover', 'subject', gateway)
    for (const [index, pod] of pods.entries()) this.#note(`failover pod ${index + 1}`, 'load', pod)
    if (failover.lost > 0) this.#problem(`failover: ${failover.lost} sessions did not come back whole`)
    printFailover(failover)
  }

  #wants(...names: readonly ScenarioName[]): boolean {
    return names.some(name => this.#options.scenarios.includes(name))
  }

  #note(name: string, place: 'subject' | 'load', command: string): void {
    this.results.commands[name] = `taskset -c ${this.#setting.processors[place]} ${command}`
  }

  #problem(text: string): void {
    this.results.problems.push(text)
    progress(`PROBLEM: ${text}`)
  }

  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      this.#problem(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}
