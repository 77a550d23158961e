import { parseDocument } from 'yaml'
import { DEFAULT_TOOLS } from './definition.ts'
import type { AgentDefinition } from './definition.ts'

const FRONT_MATTER = /^\uFEFF?---[ \t]*\r?\n(?<yaml>(?:.*?\n)??)---[ \t]*(?:\r?\n(?<body>.*))?$/s

const KNOWN_KEYS = new Set([
  'name',
  'description',
  'model',
  'provider',
  'tools',
  'mcpServers',
  'delegates',
  'temperature',
  'maxSteps',
  'greeting'
])

/** A definition, and the keys of its front matter that nobody knows (they change nothing). */
export interface ParsedDefinition {
  readonly definition: AgentDefinition
  readonly unknownKeys: readonly string[]
}

/** Parses the text of a definition: YAML front matter between two lines of `---`, then the system prompt. A RangeError lists everything that is wrong. */
export function parseDefinition(id: string, text: string): ParsedDefinition {
  const match = FRONT_MATTER.exec(text)
  if (match === null) throw new RangeError('expected front matter between two lines of "---"')
  const values = parseFrontMatter(match.groups?.['yaml'] ?? '')
  const fields = new Fields(values)
  const definition: AgentDefinition = {
    id,
    name: fields.text('name') ?? id,
    description: fields.text('description') ?? '',
    model: fields.text('model'),
    provider: fields.text('provider'),
    tools: fields.names('tools') ?? DEFAULT_TOOLS,
    mcpServers: values['mcpServers'] ?? [],
    delegates: fields.names('delegates') ?? [],
    temperature: fields.number('temperature', { min: 0, max: 2 }),
    maxSteps: fields.number('maxSteps', { min: 1, max: 1000, whole: true }) ?? 10,
    greeting: fields.text('greeting'),
    systemPrompt: (match.groups?.['body'] ?? '').trim()
  }
  if (fields.problems.length > 0) throw new RangeError(fields.problems.join('; '))
  return { definition, unknownKeys: Object.keys(values).filter(key => !KNOWN_KEYS.has(key)) }
}

function parseFrontMatter(yaml: string): Record<string, unknown> {
  const document = parseDocument(yaml)
  const [error] = document.errors
  if (error !== undefined) throw new RangeError(`front matter: ${error.message}`)
  const value: unknown = document.toJS() ?? {}
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RangeError('front matter: expected a mapping of keys to values')
  return Object.fromEntries(Object.entries(value))
}

/** Types the keys of a front matter one by one and gathers what is wrong with them. */
class Fields {
  readonly problems: string[] = []
  readonly #values: Record<string, unknown>

  constructor(values: Record<string, unknown>) {
    this.#values = values
  }

  text(key: string): string | null {
    const value = this.#values[key] ?? null
    if (value === null || typeof value === 'string') return value
    if (typeof value === 'number') return String(value)
    return this.#reject(key, 'a text')
  }

  names(key: string): string[] | null {
    const value = this.#values[key] ?? null
    if (value === null) return null
    if (typeof value === 'string') return value.split(',').map(name => name.trim())
    if (Array.isArray(value) && value.every(name => typeof name === 'string')) return value
    return this.#reject(key, 'a list of names')
  }

  number(key: string, bounds: { min: number; max: number; whole?: boolean }): number | null {
    const value = this.#values[key] ?? null
    if (value === null) return null
    const fits = typeof value === 'number' && value >= bounds.min && value <= bounds.max
    if (fits && (bounds.whole !== true || Number.isInteger(value))) return value
    return this.#reject(key, `a number from ${bounds.min} to ${bounds.max}`)
  }

  #reject(key: string, expected: string): null {
    this.problems.push(`${key}: expected ${expected}`)
    return null
  }
}
