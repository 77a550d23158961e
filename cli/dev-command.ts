import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { redactUrl } from '../lib/config-value.ts'
import { DevCluster } from './dev/dev-cluster.ts'
import type { DevOptions } from './dev/dev-plan.ts'
import type { ChildEvent } from './dev/supervised-child.ts'
import { welcome } from './dev/welcome.ts'
import { onParentGone, onStopSignal } from './stop-signals.ts'
import { printJson } from './table.ts'

interface DevFlags {
  port: number
  adminPort: number
  pods: number
  data?: string
  store?: string
  redis?: string
  verbose?: boolean
  json?: boolean
}

/** Adds `fairlead dev`: everything on one machine, without configuration. */
export function addDevCommand(program: Command): void {
  program
    .command('dev')
    .summary('run a gateway, pods and a private Redis on this machine')
    .description('Runs a gateway, pods and a private Redis on this machine until Ctrl-C, and leaves nothing behind.')
    .addOption(
      new Option('--port <port>', 'port of the gateway; 0 takes a free one')
        .default(8080)
        .argParser(wholeNumber(65_535))
    )
    .addOption(
      new Option('--admin-port <port>', 'port of health and metrics; 0 takes a free one')
        .default(9090)
        .argParser(wholeNumber(65_535))
    )
    .addOption(new Option('--pods <count>', 'how many pods').default(3).argParser(wholeNumber(100)))
    .option(
      '--data <directory>',
      'keep files, backups, logs and the registry here (default: a temporary directory, removed at the end)'
    )
    .option('--store <url>', 'backup store of the pods (default: a directory in the data directory)')
    .option('--redis <url>', 'use this Redis instead of a private one')
    .option('--verbose', 'show everything that gateway and pods log, not only warnings')
    .option('--json', 'print events as JSON lines')
    .action(runDev)
}

async function runDev(flags: DevFlags): Promise<void> {
  const cluster = new DevCluster(optionsFrom(flags), event => report(event, flags.json))
  const stopped = stopOnSignal(cluster)
  try {
    const addresses = await Promise.race([cluster.start(), stopped])
    if (addresses !== undefined) {
      const shown = { ...addresses, redisUrl: redactUrl(addresses.redisUrl) }
      if (flags.json) printJson({ event: 'ready', ...shown })
      else process.stdout.write(welcome(shown))
      await stopped
    }
  } finally {
    await cluster.close()
  }
  process.exit(0)
}

function optionsFrom(flags: DevFlags): DevOptions {
  return {
    port: flags.port,
    adminPort: flags.adminPort,
    podCount: flags.pods,
    verbose: flags.verbose ?? false,
    ...(flags.data !== undefined && { dataDirectory: flags.data }),
    ...(flags.store !== undefined && { store: flags.store }),
    ...(flags.redis !== undefined && { redisUrl: flags.redis })
  }
}

// Resolves at the first signal; the second one does not wait for anybody.
async function stopOnSignal(cluster: DevCluster): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  onStopSignal((_signal, count) => {
    if (count === 1) return resolve(undefined)
    cluster.kill()
    process.exit(1)
  })
  onParentGone(() => resolve(undefined))
  return promise
}

function report(event: ChildEvent, json = false): void {
  if (json) return printJson(event)
  const text =
    event.event === 'died'
      ? `${event.name} (pid ${event.pid}) died: ${event.how}; starting it again in ${event.restartInMs / 1000} s`
      : `${event.name} is back (pid ${event.pid})`
  process.stdout.write(`${text}\n`)
}

function wholeNumber(max: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value > max) throw new InvalidArgumentError(`Expected a whole number from 0 to ${max}.`)
    return value
  }
}
