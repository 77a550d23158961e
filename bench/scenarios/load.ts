import type { Backend } from '../backend.ts'
import type { ScenarioName } from '../options.ts'
import { cpuTime } from '../process-stat.ts'
import type { RequestShape } from '../request.ts'
import { interleave, type Samples } from '../rounds.ts'
import type { Setting } from '../setting.ts'
import type { RunningSubject } from '../subject.ts'
import { discardLogs } from '../subject.ts'
import { runWrk, writeWrkScript, type WrkResult } from '../wrk.ts'

/** A closed loop of requests: each connection sends the next one when it has the answer to the last. */
export interface LoadScenario {
  readonly name: string
  readonly scenario: ScenarioName
  readonly title: string
  readonly connections: number
  /** Sessions that the requests go through. */
  readonly sessionCount: number
  readonly shape: RequestShape
}

const GET: RequestShape = { method: 'GET', target: '/v1/exec/run?session=abc123', keepAlive: true, bodyBytes: 0 }
const MEBIBYTE = 1024 * 1024
const ALL = 10_000

/** Every closed loop that there is. `upload` uses few sessions, because wrk keeps each request, with its body, in memory. */
export const LOAD_SCENARIOS: readonly LoadScenario[] = [
  load('small-64', 'small', { title: '1 KB answers, 64 connections', connections: 64, shape: GET }),
  load('small-256', 'small', { title: '1 KB answers, 256 connections', connections: 256, shape: GET }),
  load('body', 'body', { title: '1 MB answers, 16 connections', connections: 16, shape: { ...GET, target: '/mb' } }),
  load('upload', 'upload', {
    title: '1 MB uploads, 16 connections',
    connections: 16,
    sessionCount: 64,
    shape: { ...GET, method: 'POST', target: '/upload', bodyBytes: MEBIBYTE }
  }),
  load('close', 'close', {
    title: '1 KB answers, 64 clients without keep-alive',
    connections: 64,
    shape: { ...GET, keepAlive: false }
  })
]

interface LoadDetails {
  title: string
  connections: number
  sessionCount?: number
  shape: RequestShape
}

function load(name: string, scenario: ScenarioName, details: LoadDetails): LoadScenario {
  return { name, scenario, sessionCount: ALL, ...details }
}

/** One run of wrk against one subject. */
export interface LoadSample extends WrkResult {
  requestsPerSecond: number
  /** Processor time of all the subject's processes per request, in microseconds. */
  cpuUs: number
  userUs: number
  systemUs: number
  /** Share of its processor that the subject used; well below 1 means that the load was the limit, and the rate says little. */
  coreUse: number
}

/** Runs a closed loop against all subjects, interleaved. */
export async function runLoad(
  scenario: LoadScenario,
  world: {
    setting: Setting
    backend: Backend
    subjects: readonly RunningSubject[]
    rounds: number
    durationSeconds: number
  }
): Promise<{ samples: Samples<LoadSample>; script: string }> {
  const { setting, backend, subjects, rounds, durationSeconds } = world
  const sessions = backend.sessions.slice(0, scenario.sessionCount)
  const script = writeWrkScript(setting, { name: scenario.name, sessions, shape: scenario.shape })
  const samples = await interleave(subjects, { rounds, warmUp: true }, async subject => {
    const { connections } = scenario
    return measure(subject, () => runWrk(setting, { script, connections, durationSeconds, port: subject.port }))
  })
  return { samples, script }
}

async function measure(subject: RunningSubject, run: () => Promise<WrkResult>): Promise<LoadSample> {
  const pids = subject.child.pids()
  const before = cpuTime(pids)
  const result = await run()
  const after = cpuTime(pids)
  subject.child.assertRunning()
  discardLogs(subject)
  const user = after.user - before.user
  const system = after.system - before.system
  return {
    ...result,
    requestsPerSecond: result.requests / result.seconds,
    cpuUs: ((user + system) / result.requests) * 1e6,
    userUs: (user / result.requests) * 1e6,
    systemUs: (system / result.requests) * 1e6,
    coreUse: (user + system) / result.seconds
  }
}
