import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'

/** What a figure means nothing without. */
export interface Machine {
  processor: string
  processors: number
  memoryGiB: number
  kernel: string
  /** Load of the last minute when the run began; well below 0.5 on a machine that has nothing else to do. */
  loadBefore: number
  versions: Readonly<Record<string, string>>
}

const VERSION_COMMANDS: Readonly<Record<string, readonly string[]>> = {
  nginx: ['nginx', '-v'],
  haproxy: ['haproxy', '-v'],
  wrk: ['wrk', '-v'],
  redis: ['redis-server', '--version'],
  gcc: ['gcc', '--version']
}
const PACKAGES = ['undici', 'http-proxy-3', 'ioredis']

/** Describes this machine and the programs that take part. */
export function describeMachine(): Machine {
  const processors = cpus()
  const programs = Object.entries(VERSION_COMMANDS).map(([name, command]) => [name, programVersion(command)])
  const packages = PACKAGES.map(name => [name, packageVersion(name)])
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    processors: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${type()} ${release()}`,
    loadBefore: loadavg()[0] ?? Number.NaN,
    versions: { node: process.version, ...Object.fromEntries([...programs, ...packages]) }
  }
}

/** Programs that are needed and not installed. */
export function missingPrograms(): string[] {
  const needed = [...Object.values(VERSION_COMMANDS).map(([program]) => program ?? ''), 'taskset', 'setpriv']
  return needed.filter(program => spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined)
}

function programVersion([program = '', ...words]: readonly string[]): string {
  const { stdout, stderr } = spawnSync(program, words, { encoding: 'utf8' })
  return /\d+\.\d+[.\d]*/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown'
}

function packageVersion(name: string): string {
  const content: unknown = JSON.parse(
    readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8')
  )
  return typeof content === 'object' && content !== null && 'version' in content ? String(content.version) : 'unknown'
}
