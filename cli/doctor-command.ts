import type { Command } from 'commander'
import { gatewayEnvironment, gatewayOptions } from '../gateway/config.ts'
import { podOptions } from '../pod/config.ts'
import { loadConfig } from './command-options.ts'
import { runChecks } from './doctor/checks.ts'
import type { Finding } from './doctor/finding.ts'
import { printJson, renderTable } from './table.ts'

/** Adds `fairlead doctor`: whether this machine can run Fairlead, and what to do where it cannot. */
export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .summary('check this machine and say what to fix')
    .description(
      'Checks what Fairlead needs on this machine, with the configuration that gateway and pod would use. Exits with 1 if anything fails.'
    )
    .option('--config <file>', 'YAML file that gateway and pod are run with')
    .option('--json', 'print JSON')
    .action(async (flags: { json?: boolean; config?: string }) => {
      const given = flags.config === undefined ? {} : { config: flags.config }
      const gateway = loadConfig(gatewayOptions, {
        section: 'gateway',
        flags: given,
        env: gatewayEnvironment(process.env)
      })
      const pod = loadConfig(podOptions, { section: 'pod', flags: given })
      const findings = await runChecks({ gateway, pod })
      if (flags.json) printJson(findings)
      else process.stdout.write(renderTable(['check', 'result', 'found', 'what to do'], findings.map(rowOf)))
      if (findings.some(finding => finding.result === 'fail')) process.exitCode = 1
    })
}

function rowOf(finding: Finding): string[] {
  return [finding.check, finding.result, finding.found, finding.fix ?? '']
}
