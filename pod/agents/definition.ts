/** An agent definition: what kind of session can be made of it. */
export interface AgentDefinition {
  /** DNS label: the file's name without `.md`. */
  readonly id: string
  readonly name: string
  readonly description: string
  /** Null where the definition has no model: its sessions run commands and keep files, and cannot chat. */
  readonly model: string | null
  readonly provider: string | null
  readonly tools: readonly string[]
  /** As written: names, or a mapping of names to settings. */
  readonly mcpServers: unknown
  readonly delegates: readonly string[]
  readonly temperature: number | null
  /** Most model steps for one message. */
  readonly maxSteps: number
  readonly greeting: string | null
  /** Body of the Markdown file. */
  readonly systemPrompt: string
}

/** Tools of a definition that names none. */
export const DEFAULT_TOOLS: readonly string[] = ['bash', 'read_file', 'write_file', 'edit_file']

/** The definition that every pod has: a working directory and commands, no model. A file `shell.md` takes its place. */
export const SHELL_DEFINITION: AgentDefinition = {
  id: 'shell',
  name: 'shell',
  description: 'A working directory and commands, without a model',
  model: null,
  provider: null,
  tools: DEFAULT_TOOLS,
  mcpServers: [],
  delegates: [],
  temperature: null,
  maxSteps: 10,
  greeting: null,
  systemPrompt: ''
}
