import { readFileSync } from 'node:fs'
import { Option as CommandOption } from 'commander'
import type { Command } from 'commander'
import { ConfigError, flagOf, resolveConfig } from '../lib/config-table.ts'
import type { ConfigOf, ConfigSources, Option } from '../lib/config-table.ts'
import { describeOption } from '../lib/config-reference.ts'
import { errorText } from '../lib/errors.ts'

/** Gives a command every option of a table, with help, and `--config`. Values stay as they were typed: `loadConfig` parses them, so that a bad flag is reported together with a bad file. */
export function addTableOptions(command: Command, table: readonly Option[]): void {
  command.option('--config <file>', 'YAML file to read options from')
  for (const option of table) {
    command.option(`${flagOf(option)} ${argumentOf(option)}`, describeOption(option))
    if (option.type === 'boolean') command.addOption(new CommandOption(`--no-${flagOf(option).slice(2)}`).hideHelp())
  }
}

function argumentOf(option: Option): string {
  if (option.type === 'boolean') return '[true|false]'
  return option.type === 'enum' ? '<choice>' : `<${option.type}>`
}

/** Resolves a command's config from its flags, the file that `--config` names and the environment; `check` finds what is wrong with values that are each valid. Throws ConfigError. */
export function loadConfig<const Table extends readonly Option[]>(
  table: Table,
  options: Pick<ConfigSources, 'section' | 'env'> & {
    flags: Record<string, unknown>
    check?: (config: ConfigOf<Table>) => readonly string[]
  }
): ConfigOf<Table> {
  const { section, flags, check, env = process.env } = options
  const file = typeof flags['config'] === 'string' ? readConfigFile(flags['config']) : undefined
  const config = resolveConfig(table, { section, flags, file, env })
  const problems = check?.(config) ?? []
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

function readConfigFile(path: string): { path: string; text: string } {
  try {
    return { path, text: readFileSync(path, 'utf8') }
  } catch (error) {
    throw new ConfigError([`flag --config: ${errorText(error)}`])
  }
}
