import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ConfigError } from '../lib/config-table.ts'
import { FairleadError, errorText } from '../lib/errors.ts'
import { addDevCommand } from './dev-command.ts'
import { addDoctorCommand } from './doctor-command.ts'
import { addGatewayCommand } from './gateway-command.ts'
import { addPodCommand } from './pod-command.ts'
import { addPodsCommand } from './pods-command.ts'
import { addSessionsCommand } from './sessions-command.ts'
import { packageFile } from './package-folder.ts'

const EXIT_FAILED = 1
const EXIT_USAGE = 2

const EPILOGUE = `
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
Every option of gateway and pod can also come from a YAML file (--config) or the environment (FAIRLEAD_...);
flags win over the file, the file over the environment. "fairlead help <command>" says more.`

function buildProgram(): Command {
  const program = new Command('fairlead')
    .description('Routes every agent session to the pod that holds its state, and moves it when that pod dies.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .addHelpText('after', EPILOGUE)
    .showHelpAfterError('(add --help for what it takes)')
    .exitOverride()
  addDevCommand(program)
  addGatewayCommand(program)
  addPodCommand(program)
  addPodsCommand(program)
  addSessionsCommand(program)
  addDoctorCommand(program)
  return program
}

function version(): string {
  const content: unknown = JSON.parse(readFileSync(packageFile('package.json'), 'utf8'))
  const found = typeof content === 'object' && content !== null && 'version' in content ? content.version : undefined
  return typeof found === 'string' ? found : 'unknown'
}

function exitCodeFor(thrown: unknown): number {
  // Commander has printed its own message already.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : EXIT_USAGE
  process.stderr.write(`fairlead: ${thrown instanceof FairleadError ? thrown.message : errorText(thrown)}\n`)
  return thrown instanceof ConfigError ? EXIT_USAGE : EXIT_FAILED
}

try {
  await buildProgram().parseAsync()
} catch (error) {
  // An open IPC channel or a half-started service must not keep a failed command alive.
  process.exit(exitCodeFor(error))
}
