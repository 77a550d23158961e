import { parseDocument } from 'yaml'
import { FairleadError, errorText } from './errors.ts'
import { parseValue } from './config-value.ts'
import type { ConfigValue } from './config-value.ts'

/**
 * One row of a process's table of options. The table is the only place where an option is described: it types the
 * resulting config, feeds the command line and its help, the YAML file, the environment and the reference in the README.
 *
 * A row `{ key: 'requestTimeout', type: 'duration', default: '30s' }` is the flag `--request-timeout`, the environment
 * variable `FAIRLEAD_REQUEST_TIMEOUT`, the YAML key `requestTimeout`, and `config.requestTimeoutMs` in the code.
 */
export interface Option {
  /** camelCase, without a unit: a `duration` option `lease` becomes `config.leaseMs`, a `bytes` option `maxBody` becomes `config.maxBodyBytes`. */
  readonly key: string
  readonly type: keyof ValueOfType
  /** As a person would write it (`'30s'`, `'64Ki'`, `8080`); `null` = no default, the value is then `null`. */
  readonly default: string | number | boolean | readonly string[] | null
  /** Least value, as a person would write it; numbers, durations and bytes are never below 0 unless this says so. */
  readonly min?: string | number
  /** Greatest value, as a person would write it. */
  readonly max?: string | number
  /** What an `enum` takes. */
  readonly choices?: readonly string[]
  /** Further environment variables that set it, which lose against `FAIRLEAD_...`. */
  readonly env?: readonly string[]
  /** Stands at the top level of the YAML file, for every process, instead of in the process's own section. */
  readonly shared?: boolean
  /** One sentence, without a full stop, that ends up in `--help` and in the README. */
  readonly summary: string
}

interface ValueOfType {
  port: number
  integer: number
  /** Milliseconds. */
  duration: number
  bytes: number
  string: string
  boolean: boolean
  enum: string
  url: string
  list: readonly string[]
}

type PropertyOf<O extends Option> = O['type'] extends 'duration'
  ? `${O['key']}Ms`
  : O['type'] extends 'bytes'
    ? `${O['key']}Bytes`
    : O['key']
type KnownValueOf<O extends Option> = O['choices'] extends readonly (infer C)[] ? C : ValueOfType[O['type']]
type ValueOf<O extends Option> = O['default'] extends null ? KnownValueOf<O> | null : KnownValueOf<O>

/** The config that a table written `as const satisfies readonly Option[]` yields: `type GatewayConfig = ConfigOf<typeof gatewayOptions>`. */
export type ConfigOf<Table extends readonly Option[]> = { readonly [O in Table[number] as PropertyOf<O>]: ValueOf<O> }

/** Sections of the YAML file, one per process. */
export const CONFIG_SECTIONS = ['gateway', 'pod'] as const

/** Where values come from; a flag wins over the file, the file over the environment, the environment over the default. */
export interface ConfigSources {
  /** The process's section in the YAML file. Other processes' sections are not looked at. */
  section: (typeof CONFIG_SECTIONS)[number]
  /** By key; `undefined` = not given. */
  flags?: Readonly<Record<string, unknown>>
  /** The YAML file, read by the caller; `path` only serves messages. */
  file?: { path: string; text: string } | undefined
  env?: Readonly<Record<string, string | undefined>>
}

/** Code `config`: everything that is wrong with the configuration, one problem a line, each with its place. */
export class ConfigError extends FairleadError {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super('config', `invalid configuration:\n${problems.map(problem => `  ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/** Resolves a table against its sources into the typed config; throws one ConfigError that lists all problems. Does no I/O. */
export function resolveConfig<const Table extends readonly Option[]>(
  table: Table,
  sources: ConfigSources
): ConfigOf<Table> {
  const problems: string[] = []
  const inFile = readFile(table, sources, problems)
  const config: Record<string, ConfigValue | null> = {}
  for (const option of table) {
    const found = lookUp(option, sources, inFile)
    config[propertyOf(option)] = found.raw === null ? null : parseAt(found.place, option, found.raw, problems)
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config as ConfigOf<Table>
}

/** The flag of an option: `requestTimeout` is `--request-timeout`. */
export function flagOf(option: Option): string {
  return `--${kebab(option.key)}`
}

/** The environment variables of an option, the strongest first: `requestTimeout` is `FAIRLEAD_REQUEST_TIMEOUT`. */
export function environmentOf(option: Option): readonly string[] {
  return [`FAIRLEAD_${kebab(option.key).replaceAll('-', '_').toUpperCase()}`, ...(option.env ?? [])]
}

/** The name under which an option's value stands in the config: the key, with `Ms` or `Bytes` where it has such a unit. */
export function propertyOf(option: Option): string {
  if (option.type === 'duration') return `${option.key}Ms`
  return option.type === 'bytes' ? `${option.key}Bytes` : option.key
}

function kebab(key: string): string {
  return key.replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

type Found = { place: string; raw: unknown }

function lookUp(option: Option, sources: ConfigSources, inFile: Map<string, Found>): Found {
  const flag = sources.flags?.[option.key]
  if (flag !== undefined) return { place: `flag ${flagOf(option)}`, raw: flag }
  const fromFile = inFile.get(option.key)
  if (fromFile !== undefined) return fromFile
  const name = environmentOf(option).find(candidate => (sources.env?.[candidate] ?? '') !== '')
  if (name !== undefined) return { place: `environment ${name}`, raw: sources.env?.[name] }
  return { place: `default of ${option.key}`, raw: option.default }
}

function parseAt(place: string, option: Option, raw: unknown, problems: string[]): ConfigValue | null {
  try {
    return parseValue(option, raw)
  } catch (error) {
    problems.push(`${place}: ${errorText(error)}`)
    return null
  }
}

function readFile(table: readonly Option[], sources: ConfigSources, problems: string[]): Map<string, Found> {
  const found = new Map<string, Found>()
  if (sources.file === undefined) return found
  const { path } = sources.file
  const document = parseDocument(sources.file.text)
  for (const error of document.errors) problems.push(`file ${path}: ${errorText(error)}`)
  if (document.errors.length > 0) return found
  const root: unknown = document.toJS()
  const keys = (shared: boolean) =>
    new Map(table.filter(option => (option.shared ?? false) === shared).map(option => [option.key, option]))
  const top = { place: `file ${path}`, prefix: '', known: keys(true), sections: CONFIG_SECTIONS }
  readSection(root, top, { found, problems })
  const own = { place: `file ${path}`, prefix: `${sources.section}.`, known: keys(false), sections: [] }
  if (isMapping(root)) readSection(root[sources.section], own, { found, problems })
  return found
}

interface SectionShape {
  place: string
  prefix: string
  known: ReadonlyMap<string, Option>
  sections: readonly string[]
}

function readSection(
  content: unknown,
  shape: SectionShape,
  out: { found: Map<string, Found>; problems: string[] }
): void {
  if (content === null || content === undefined) return
  const where = shape.prefix === '' ? shape.place : `${shape.place}: ${shape.prefix.slice(0, -1)}`
  if (!isMapping(content)) {
    out.problems.push(`${where}: expected a mapping of keys to values`)
    return
  }
  for (const [key, raw] of Object.entries(content)) {
    if (shape.sections.includes(key)) continue
    const place = `${shape.place}: ${shape.prefix}${key}`
    if (!shape.known.has(key))
      out.problems.push(
        `${place}: unknown key, expected one of ${[...shape.known.keys(), ...shape.sections].join(', ')}`
      )
    else if (raw !== null) out.found.set(key, { place, raw })
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
