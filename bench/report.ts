import type { Machine } from './machine.ts'
import type { GoalResult, Results } from './results.ts'
import type { Spread } from './statistics.ts'
import { REFERENCES, type LoadSummary, type StreamSummary } from './summary.ts'
import { print, printTable } from './terminal.ts'

const MEBIBYTE = 1024 * 1024

const fixed = (value: number | undefined, digits: number): string =>
  value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits)

/** `0.91 [0.89-0.93]`: median and quartiles. */
function withQuartiles(value: Spread | undefined, digits = 2): string {
  if (value === undefined || Number.isNaN(value.median)) return '-'
  return `${fixed(value.median, digits)} [${fixed(value.lowerQuartile, digits)}-${fixed(value.upperQuartile, digits)}]`
}

/** Prints what the figures were taken on. */
export function printMachine(machine: Machine): void {
  const { processor, processors, memoryGiB, kernel, versions, loadBefore } = machine
  print(
    `Machine   ${processors} x ${processor}, ${memoryGiB} GiB, ${kernel}, load ${fixed(loadBefore, 2)} before the run`
  )
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  print(`Versions  ${list.join(', ')}`)
  if (loadBefore > 0.5) print('WARNING   the machine is not idle; take these figures for a look only')
  print()
}

/** Prints a closed loop's table. Figures are medians of the rounds. */
export function printLoad(title: string, summaries: ReadonlyMap<string, LoadSummary>): void {
  print(title)
  const references = REFERENCES.filter(name => summaries.has(name))
  const header = ['subject', 'req/s', 'min-max', 'core', 'CPU us', 'user', 'sys', 'p50 ms', 'p99 ms', 'failed']
  const ratios = references.map(name => `${name} CPU/own`)
  const rows = [...summaries].map(([name, summary]) => [
    ...loadCells(name, summary),
    ...references.map(reference => withQuartiles(summary.cpuRatio[reference]))
  ])
  printTable([...header, ...ratios], rows)
  print()
}

function loadCells(name: string, summary: LoadSummary): string[] {
  const { requestsPerSecond: rate } = summary
  return [
    name,
    fixed(rate.median, 0),
    `${fixed(rate.min, 0)}-${fixed(rate.max, 0)}`,
    fixed(summary.coreUse, 2),
    fixed(summary.cpuUs.median, 1),
    fixed(summary.userUs, 1),
    fixed(summary.systemUs, 1),
    fixed(summary.p50Ms, 2),
    fixed(summary.p99Ms, 2),
    String(summary.badAnswers + summary.socketErrors)
  ]
}

/** Prints the table of paced streams. */
export function printStreams(title: string, summaries: ReadonlyMap<string, StreamSummary>): void {
  print(title)
  const header = ['subject', 'p50 us', 'p90 us', 'p99 us', 'added p50 us', 'added p90 us', 'CPU us/chunk', 'failed']
  const rows = [...summaries].map(([name, summary]) => [
    name,
    fixed(summary.p50Us.median, 0),
    fixed(summary.p90Us, 0),
    fixed(summary.p99Us, 0),
    withQuartiles(summary.addedP50Us, 0),
    withQuartiles(summary.addedP90Us, 0),
    fixed(summary.cpuUs, 1),
    String(summary.badStreams)
  ])
  printTable(header, rows)
  print()
}

/** Prints what idle connections cost. */
export function printMemory(memory: Results['memory']): void {
  print('resident memory per 1,000 idle keep-alive connections')
  const rows = Object.entries(memory).map(([name, sample]) => [
    name,
    fixed(sample.bytesPer1000 / MEBIBYTE, 2),
    fixed(sample.beforeBytes / MEBIBYTE, 1),
    fixed(sample.afterBytes / MEBIBYTE, 1),
    String(sample.connections - sample.lost),
    String(sample.lost)
  ])
  printTable(['subject', 'MiB per 1,000', 'before MiB', 'after MiB', 'connections', 'lost'], rows)
  print()
}

/** Prints how long sessions were away. */
export function printFailover({
  timesMs,
  p50Ms,
  p95Ms,
  maxMs,
  failedAnswers,
  lost
}: NonNullable<Results['failover']>): void {
  print('failover: from SIGKILL of the owner to the first answer with the session restored')
  const cells = [String(timesMs.length + lost), ...[p50Ms, p95Ms, maxMs].map(value => fixed(value, 0))]
  printTable(
    ['kills', 'p50 ms', 'p95 ms', 'max ms', 'failed answers', 'lost sessions'],
    [[...cells, String(failedAnswers), String(lost)]]
  )
  print()
}

/** Prints what was wanted and what was reached. */
export function printGoals(goals: readonly GoalResult[]): void {
  if (goals.length === 0) return
  const rows = goals.map(({ text, reached, wanted, met }) => [
    text,
    fixed(reached, 2),
    String(wanted),
    met ? 'yes' : 'no'
  ])
  printTable(['goal', 'reached', 'wanted', 'met'], rows)
  print()
}

/** Prints the command lines, so that any figure can be taken again by hand. */
export function printCommands(commands: Results['commands']): void {
  print('Commands')
  for (const [name, command] of Object.entries(commands)) print(`  ${name.padEnd(16)} ${command}`)
  print()
}

/** Prints whether the figures can be trusted. wrk counts statuses above 399 only, hence the words about the check before. */
export function printVerdict({ load, problems }: Pick<Results, 'load' | 'problems'>): void {
  const summaries = Object.values(load).flatMap(({ summary }) => Object.values(summary))
  const bad = summaries.reduce((sum, { badAnswers }) => sum + badAnswers, 0)
  if (summaries.length > 0) {
    print('Before the runs, every session was answered with 200 by its own backend through every proxy measured.')
    print(`Answers above 399 in measured runs: ${bad === 0 ? 'none' : bad}.`)
  }
  if (problems.length > 0) print('Problems')
  for (const problem of problems) print(`  ${problem}`)
}
