import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchSession } from '../backend.ts'
import type { SubjectName } from '../options.ts'
import { cpuTime } from '../process-stat.ts'
import { requestHead } from '../request.ts'
import { interleave, type Samples } from '../rounds.ts'
import { quantile } from '../statistics.ts'
import { discardLogs, type RunningSubject } from '../subject.ts'

/** Streams that the backend paces. */
export interface StreamLoad {
  readonly name: string
  readonly title: string
  readonly streams: number
  readonly intervalMs: number
}

/** A few streams on an idle machine, and a fleet's worth of them. */
export const STREAM_LOADS: readonly StreamLoad[] = [
  { name: 'ndjson-5', title: 'paced NDJSON, 5 streams, a chunk each 5 ms', streams: 5, intervalMs: 5 },
  { name: 'ndjson-60', title: 'paced NDJSON, 60 streams, a chunk each 10 ms', streams: 60, intervalMs: 10 }
]

const SILENCE_MS = 5000

/** From a chunk's writing in the backend to its reading in the client, in microseconds. */
export interface StreamSample {
  chunks: number
  p50Us: number
  p90Us: number
  p99Us: number
  /** Processor time of the subject per chunk, in microseconds; 0 for `direct`. */
  cpuUs: number
  /** Streams that were cut short or not answered with 200. */
  badStreams: number
}

interface Runner {
  readonly name: SubjectName | 'direct'
  readonly subject: RunningSubject | null
}

/** Reads the streams through every subject and, to compare with, directly from the backend; interleaved. */
export function runStreams(
  load: StreamLoad,
  world: {
    sessions: readonly BenchSession[]
    subjects: readonly RunningSubject[]
    rounds: number
    durationSeconds: number
  }
): Promise<Samples<StreamSample>> {
  const runners: Runner[] = world.subjects.map(subject => ({ name: subject.name, subject }))
  // A single round is a quick look, which the check of the routes has warmed up enough for.
  const plan = { rounds: world.rounds, warmUp: world.rounds > 1 }
  return interleave([{ name: 'direct', subject: null }, ...runners], plan, runner => measure(runner, load, world))
}

async function measure(
  { subject }: Runner,
  { streams, intervalMs }: StreamLoad,
  { sessions, durationSeconds }: { sessions: readonly BenchSession[]; durationSeconds: number }
): Promise<StreamSample> {
  const chunks = Math.round((durationSeconds * 1000) / intervalMs)
  const pids = subject?.child.pids() ?? []
  const before = cpuTime(pids)
  const results = await Promise.all(
    sessions.slice(0, streams).map(async (session, index) => {
      // Spread over the interval, so that the chunks of different streams do not come all at once.
      await delay((index * intervalMs) / streams)
      return readStream({ session, port: subject?.port ?? session.port, chunks, intervalMs })
    })
  )
  const after = cpuTime(pids)
  if (subject !== null) discardLogs(subject)
  const latencies = results.flat().toSorted((a, b) => a - b)
  const cpuSeconds = after.user + after.system - before.user - before.system
  return {
    chunks: latencies.length,
    p50Us: quantile(latencies, 0.5),
    p90Us: quantile(latencies, 0.9),
    p99Us: quantile(latencies, 0.99),
    cpuUs: (cpuSeconds / latencies.length) * 1e6,
    badStreams: results.filter(received => received.length !== chunks).length
  }
}

interface StreamRequest {
  session: BenchSession
  port: number
  chunks: number
  intervalMs: number
}

/** Latencies of one stream's chunks in microseconds; none where the answer is not 200. Given up after 5 s without a chunk. */
async function readStream({ session, port, chunks, intervalMs }: StreamRequest): Promise<number[]> {
  const latencies: number[] = []
  const target = `/ndjson?chunks=${chunks}&interval-us=${intervalMs * 1000}`
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  socket.setTimeout(SILENCE_MS, () => socket.destroy())
  socket.setEncoding('latin1')
  let rest = ''
  let started = false
  socket.on('data', (text: string) => {
    const nowNs = monotonicNs()
    if (!started && !text.startsWith('HTTP/1.1 200')) socket.destroy()
    started = true
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('{')) latencies.push((nowNs - sentNs(line)) / 1000)
    if (latencies.length === chunks) socket.destroy()
  })
  // A stream that fails is counted by its missing chunks; the event only needs a listener.
  socket.on('error', () => socket.destroy())
  socket.write(requestHead(session.id, { method: 'GET', target, keepAlive: true, bodyBytes: 0 }))
  await new Promise<void>(resolve => socket.on('close', () => resolve()))
  return latencies
}

/** The same clock that the backend writes into its chunks (CLOCK_MONOTONIC), in nanoseconds. */
function monotonicNs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e9 + nanoseconds
}

function sentNs(line: string): number {
  return Number(/"sentNs":(\d+)/.exec(line)?.[1])
}
