import { execFileSync } from 'node:child_process'
import { missingPrograms } from './machine.ts'
import { readOptions, type BenchOptions } from './options.ts'
import { printCommands, printGoals, printMachine, printVerdict } from './report.ts'
import { writeResults } from './results.ts'
import { BenchRun } from './run.ts'
import { Setting } from './setting.ts'
import { print, progress } from './terminal.ts'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const EXIT_INTERRUPTED = 130

/** Ends every child before this process ends, however that comes about. */
function cleanUpOnExit(setting: Setting): void {
  process.on('exit', () => setting.closeNow())
  for (const signal of SIGNALS) process.on(signal, () => process.exit(EXIT_INTERRUPTED))
}

async function main(options: BenchOptions): Promise<number> {
  const missing = missingPrograms()
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}; "npm run bench" installs them`)
  const setting = new Setting({ keep: options.keep })
  cleanUpOnExit(setting)
  // The client of streams and idle connections is this process: it must keep off the subjects' processor.
  execFileSync('taskset', ['-acp', String(setting.processors.load), String(process.pid)], { stdio: 'ignore' })
  const run = new BenchRun(setting, options)
  const { results } = run
  printMachine(results.machine)
  await run.run()
  await setting.close()
  printCommands(results.commands)
  printGoals(results.goals)
  printVerdict(results)
  print(`Results   ${writeResults(results)}`)
  return results.problems.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main(readOptions(process.argv.slice(2)))
} catch (error) {
  progress(`bench: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
