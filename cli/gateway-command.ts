import type { Command } from 'commander'
import { gatewayEnvironment, gatewayOptions } from '../gateway/config.ts'
import { registryProblems } from '../lib/registry-options.ts'
import { addTableOptions, loadConfig } from './command-options.ts'
import { runService } from './run-service.ts'

/** Adds `fairlead gateway`: one gateway in the foreground. */
export function addGatewayCommand(program: Command): void {
  const command = program
    .command('gateway')
    .summary('run a gateway: takes client traffic, finds the pod that owns the session')
    .description('Runs a gateway in the foreground. SIGTERM or Ctrl-C drains it; a second one ends it at once.')
  addTableOptions(command, gatewayOptions)
  command.action(async (flags: Record<string, unknown>) => {
    const env = gatewayEnvironment(process.env)
    const config = loadConfig(gatewayOptions, { section: 'gateway', flags, env, check: registryProblems })
    // Loaded here, so that the other commands start without the proxy.
    const { startGateway } = await import('../gateway/main.ts')
    await runService('gateway', {
      logLevel: config.logLevel,
      start: async () => startGateway(config),
      facts: ({ url, adminUrl }) => ({ url, adminUrl })
    })
  })
}
