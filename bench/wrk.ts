import { writeFileSync } from 'node:fs'
import type { BenchSession } from './backend.ts'
import { requestHead, type RequestShape } from './request.ts'
import type { Setting } from './setting.ts'

/** What wrk is to do. */
export interface WrkLoad {
  /** Made by `writeWrkScript`. */
  script: string
  connections: number
  durationSeconds: number
  /** The subject's; a text only to show the command line. */
  port: number | 'PORT'
}

/** What wrk reports of one run. */
export interface WrkResult {
  requests: number
  seconds: number
  bytes: number
  p50Ms: number
  p99Ms: number
  /** Answers with a status above 399. */
  badAnswers: number
  /** Connections or requests that failed: connect, read, write, timeout. */
  socketErrors: number
}

const REPORT_MARK = 'fairlead-bench-report '

// The requests are made before the run: wrk calls request() for each, and string building there would cost the load's processor.
const SCRIPT_END = `
local count = #requests
local index = 0
function init() math.randomseed(os.time()) index = math.random(1, count) end
function request()
  index = index % count + 1
  return requests[index]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('${REPORT_MARK}{"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,"status":%d,"socket":%d}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
`

/** Writes a script that sends one request per session in turn, from a random start; returns its path. */
export function writeWrkScript(
  setting: Setting,
  options: { name: string; sessions: readonly BenchSession[]; shape: RequestShape }
): string {
  const { name, sessions, shape } = options
  // JSON's escapes of these plain texts are Lua's too.
  const heads = sessions.map(session => JSON.stringify(requestHead(session.id, shape)))
  const body = shape.bodyBytes > 0 ? ` .. body` : ''
  const requests = heads.map(head => `requests[#requests + 1] = ${head}${body}`)
  const path = setting.path(`${name}.lua`)
  const start = ['local requests = {}', `local body = string.rep('u', ${shape.bodyBytes})`]
  writeFileSync(path, [...start, ...requests, SCRIPT_END].join('\n'))
  return path
}

/** The command line of a run, without the pinning. */
export function wrkCommand(load: WrkLoad): string[] {
  const { script, connections, durationSeconds, port } = load
  return ['wrk', '-t1', `-c${connections}`, `-d${durationSeconds}s`, '-s', script, `http://127.0.0.1:${port}/`]
}

/** Runs wrk beside the backend and waits for its end. */
export async function runWrk(setting: Setting, load: WrkLoad): Promise<WrkResult> {
  const child = setting.start({ name: 'wrk', command: wrkCommand(load), place: 'load' })
  const output = await child.finished((load.durationSeconds + 10) * 1000)
  await setting.stop(child)
  const report = output.split('\n').find(line => line.startsWith(REPORT_MARK))
  if (report === undefined) throw new Error(`wrk gave no report: ${output.slice(-2000)}`)
  const numbers = JSON.parse(report.slice(REPORT_MARK.length)) as Record<string, number>
  const read = (name: string): number => numbers[name] ?? Number.NaN
  return {
    requests: read('requests'),
    seconds: read('microseconds') / 1e6,
    bytes: read('bytes'),
    p50Ms: read('p50') / 1000,
    p99Ms: read('p99') / 1000,
    badAnswers: read('status'),
    socketErrors: read('socket')
  }
}
