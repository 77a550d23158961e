import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errorText } from '../../lib/errors.ts'
import { isDnsLabel } from '../../lib/ids.ts'
import type { Logger } from '../../lib/log.ts'
import { SHELL_DEFINITION } from './definition.ts'
import type { AgentDefinition } from './definition.ts'
import { parseDefinition } from './parse-definition.ts'
import type { ParsedDefinition } from './parse-definition.ts'

/**
 * Reads every `*.md` file of a directory as an agent definition, sorted by id, and adds the built-in one.
 * A file that is no valid definition is left out and logged as an error: one bad file must not keep a pod from starting.
 * An empty directory name stands for none; a directory that cannot be read is an error.
 */
export async function loadDefinitions(directory: string, log: Logger): Promise<ReadonlyMap<string, AgentDefinition>> {
  const definitions = new Map([[SHELL_DEFINITION.id, SHELL_DEFINITION]])
  const files = directory === '' ? [] : (await readdir(directory)).filter(name => name.endsWith('.md'))
  for (const file of files.toSorted()) {
    const path = join(directory, file)
    try {
      const { definition, unknownKeys } = await readDefinition(path, file.slice(0, -'.md'.length))
      if (unknownKeys.length > 0) log.warn({ path, unknownKeys }, 'agent definition has unknown keys')
      definitions.set(definition.id, definition)
    } catch (error) {
      log.error({ path, reason: errorText(error) }, 'agent definition left out')
    }
  }
  return definitions
}

async function readDefinition(path: string, id: string): Promise<ParsedDefinition> {
  if (!isDnsLabel(id)) throw new RangeError(`the file's name must be a DNS label (a-z, 0-9, "-"), got "${id}"`)
  return parseDefinition(id, await readFile(path, 'utf8'))
}
