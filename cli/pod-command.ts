import type { Command } from 'commander'
import { registryProblems } from '../lib/registry-options.ts'
import { podOptions } from '../pod/config.ts'
import { addTableOptions, loadConfig } from './command-options.ts'
import { runService } from './run-service.ts'

/** Adds `fairlead pod`: one pod in the foreground. */
export function addPodCommand(program: Command): void {
  const command = program
    .command('pod')
    .summary('run a pod: hosts sessions, backs them up and restores them')
    .description(
      'Runs a pod in the foreground. SIGTERM or Ctrl-C hands its sessions over and ends it; a second one ends it at once.'
    )
  addTableOptions(command, podOptions)
  command.action(async (flags: Record<string, unknown>) => {
    const config = loadConfig(podOptions, { section: 'pod', flags, check: registryProblems })
    const { startPod } = await import('../pod/main.ts')
    await runService('pod', {
      logLevel: config.logLevel,
      start: async () => startPod(config),
      facts: ({ url, memberId, bootId }) => ({ url, memberId, bootId })
    })
  })
}
