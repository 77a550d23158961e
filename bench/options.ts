import { Command, InvalidArgumentError, Option } from 'commander'

/** Scenario names, in the order in which they run. */
export const SCENARIO_NAMES = ['small', 'body', 'upload', 'close', 'ndjson', 'memory', 'failover'] as const
/** Subject names, in the order of the tables. */
export const SUBJECT_NAMES = [
  'fairlead',
  'fairlead+log',
  'fairlead-handle',
  'fairlead-handle+log',
  'engine',
  'nginx',
  'nginx+log',
  'haproxy',
  'undici',
  'http-proxy-3'
] as const

/** What is measured; `upload` runs only when asked for. */
export type ScenarioName = (typeof SCENARIO_NAMES)[number]
/** Who is measured. */
export type SubjectName = (typeof SUBJECT_NAMES)[number]

/** One run of the benchmarks, as asked for on the command line. */
export interface BenchOptions {
  readonly scenarios: readonly ScenarioName[]
  readonly subjects: readonly SubjectName[]
  /** Interleaved rounds; each measures every subject once. */
  readonly rounds: number
  /** Seconds of load per subject and round; whole, because wrk takes no fractions. */
  readonly durationSeconds: number
  /** Idle connections opened by the scenario `memory`. */
  readonly idleConnections: number
  /** Pods killed by the scenario `failover`. */
  readonly kills: number
  /** Leave the temporary directory behind, with configurations and wrk scripts, so that commands can be run again by hand. */
  readonly keep: boolean
  /** Where the JSON goes; null means `bench/results/<date>.json`. */
  readonly jsonFile: string | null
}

const FULL = { rounds: 6, duration: 3, idleConnections: 6000, kills: 20 }
const QUICK = { rounds: 1, duration: 1, idleConnections: 1000, kills: 3 }

interface Flags {
  scenario?: ScenarioName[]
  subjects?: SubjectName[]
  rounds?: number
  duration?: number
  connections?: number
  kills?: number
  quick?: true
  keep?: true
  json?: string
}

function listOf<Name extends string>(allowed: readonly Name[]): (text: string) => Name[] {
  return text =>
    text.split(',').map(word => {
      const name = allowed.find(candidate => candidate === word.trim())
      if (name === undefined) throw new InvalidArgumentError(`'${word}' is none of ${allowed.join(', ')}.`)
      return name
    })
}

function integerUpTo(limit: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < 1 || value > limit)
      throw new InvalidArgumentError(`It must be an integer from 1 to ${limit}.`)
    return value
  }
}

function makeCommand(): Command {
  return new Command('npm run bench --')
    .description('Measures the gateway side by side with other proxies on this machine.')
    .addOption(
      new Option(
        '--scenario <names>',
        `comma separated: ${SCENARIO_NAMES.join(', ')} (default: all but upload)`
      ).argParser(listOf(SCENARIO_NAMES))
    )
    .addOption(
      new Option('--subjects <names>', `comma separated: ${SUBJECT_NAMES.join(', ')} (default: all)`).argParser(
        listOf(SUBJECT_NAMES)
      )
    )
    .option('--rounds <n>', `interleaved rounds (default: ${FULL.rounds})`, integerUpTo(100))
    .option('--duration <seconds>', `load per subject and round (default: ${FULL.duration})`, integerUpTo(60))
    .option('--connections <n>', `idle connections of memory (default: ${FULL.idleConnections})`, integerUpTo(6000))
    .option('--kills <n>', `pods killed by failover (default: ${FULL.kills})`, integerUpTo(100))
    .option('--quick', 'one short round of everything, under three minutes; good for a look, not for a figure')
    .option(
      '--keep',
      'leave the temporary directory behind, with the configurations and scripts that the commands name'
    )
    .option('--json <file>', 'where the results go (default: bench/results/<date>.json)')
}

/** Reads the command line; on `--help` or a bad value prints and ends the process, as commander does. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const flags: Flags = makeCommand().parse(argv, { from: 'user' }).opts<Flags>()
  const preset = flags.quick ? QUICK : FULL
  return {
    scenarios: flags.scenario ?? SCENARIO_NAMES.filter(name => name !== 'upload'),
    subjects: flags.subjects ?? SUBJECT_NAMES,
    rounds: flags.rounds ?? preset.rounds,
    durationSeconds: flags.duration ?? preset.duration,
    idleConnections: flags.connections ?? preset.idleConnections,
    kills: flags.kills ?? preset.kills,
    keep: flags.keep ?? false,
    jsonFile: flags.json ?? null
  }
}
