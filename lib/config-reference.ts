import { environmentOf, flagOf } from './config-table.ts'
import type { Option } from './config-table.ts'
import { redactUrl } from './config-value.ts'

/** One option for `--help`: its sentence, its bounds and its default. */
export function describeOption(option: Option): string {
  const choices = option.choices === undefined ? '' : option.choices.join(', ')
  const facts = [choices, boundsOf(option), defaultOf(option) && `default: ${defaultOf(option)}`].filter(
    fact => fact !== ''
  )
  return facts.length === 0 ? option.summary : `${option.summary} (${facts.join('; ')})`
}

/** A table of options as Markdown, for the README: key, flag, environment, what it takes, default, meaning. */
export function renderReference(table: readonly Option[]): string {
  const header = ['YAML key', 'flag', 'environment', 'takes', 'default', 'what it does']
  const rows = table.map(option => [
    code(option.key),
    code(flagOf(option)),
    environmentOf(option).map(code).join(', '),
    [option.choices?.map(code).join(', ') ?? option.type, boundsOf(option)].filter(fact => fact !== '').join(', '),
    defaultOf(option) && code(defaultOf(option)),
    option.summary.replaceAll('|', '\\|')
  ])
  return [header, header.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |\n`).join('')
}

function boundsOf({ min, max }: Option): string {
  if (min !== undefined && max !== undefined) return `${min} to ${max}`
  if (min !== undefined) return `at least ${min}`
  return max === undefined ? '' : `at most ${max}`
}

// As it was written in the table; empty where there is nothing to show.
function defaultOf(option: Option): string {
  if (option.default === null) return ''
  return redactUrl(typeof option.default === 'object' ? option.default.join(',') : String(option.default))
}

function code(text: string): string {
  return `\`${text}\``
}
