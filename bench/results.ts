import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Machine } from './machine.ts'
import type { BenchOptions } from './options.ts'
import type { FailoverResult } from './scenarios/failover.ts'
import type { LoadSample } from './scenarios/load.ts'
import type { MemorySample } from './scenarios/memory.ts'
import type { StreamSample } from './scenarios/ndjson.ts'
import type { LoadSummary, StreamSummary } from './summary.ts'

/** What was measured of everybody in one scenario: summed up, and every sample by round. */
interface Measured<Summary, Sample> {
  title: string
  summary: Record<string, Summary>
  samples: Record<string, readonly Sample[]>
}

/** Everything that a run found; the content of the JSON file. */
export interface Results {
  startedAt: string
  options: BenchOptions
  machine: Machine
  /** Command lines of backend, subjects and load, each with the processor it was pinned to. */
  commands: Record<string, string>
  load: Record<string, Measured<LoadSummary, LoadSample>>
  streams: Record<string, Measured<StreamSummary, StreamSample>>
  memory: Record<string, MemorySample>
  failover: FailoverResult | null
  goals: GoalResult[]
  /** What did not work: subjects that did not start, scenarios that broke off, answers other than 2xx. Empty in a run to be trusted. */
  problems: string[]
}

/** What the project wants of a figure, and what it is. */
export interface GoalResult {
  text: string
  reached: number
  wanted: number
  met: boolean
}

/** Writes the results; returns the path. */
export function writeResults(results: Results): string {
  const folder = fileURLToPath(new URL('results', import.meta.url))
  const path = results.options.jsonFile ?? `${folder}/${results.startedAt.replaceAll(':', '-')}.json`
  mkdirSync(dirname(resolve(path)), { recursive: true })
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
  return resolve(path)
}
