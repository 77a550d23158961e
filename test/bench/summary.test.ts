import t from 'tap'
import type { LoadSample } from '../../bench/scenarios/load.ts'
import type { StreamSample } from '../../bench/scenarios/ndjson.ts'
import { summarizeLoad, summarizeStreams } from '../../bench/summary.ts'

function loadSample(cpuUs: number, requestsPerSecond: number): LoadSample {
  const counts = { requests: 1, seconds: 1, bytes: 1, badAnswers: 0, socketErrors: 1 }
  return { ...counts, p50Ms: 1, p99Ms: 2, userUs: 1, systemUs: 1, coreUse: 1, cpuUs, requestsPerSecond }
}

function streamSample(p50Us: number): StreamSample {
  return { chunks: 1, p50Us, p90Us: p50Us, p99Us: p50Us, cpuUs: 1, badStreams: 1 }
}

t.test('a disturbance that hits reference and subject in the same round does not change the ratio', async t => {
  const nginx = [loadSample(10, 100), loadSample(40, 25), loadSample(10, 100)]
  const fairlead = [loadSample(20, 50), loadSample(80, 12.5), loadSample(20, 50)]
  const summary = summarizeLoad(
    new Map([
      ['nginx', nginx],
      ['fairlead', fairlead]
    ] as const)
  ).get('fairlead')
  t.same(summary?.cpuRatio.nginx, { median: 0.5, lowerQuartile: 0.5, upperQuartile: 0.5, min: 0.5, max: 0.5 })
  t.equal(summary?.rateRatio.nginx?.median, 0.5)
  t.equal(summary?.socketErrors, 3)
  t.equal(summary?.cpuRatio.haproxy, undefined)
})

t.test('the latency of the direct way is taken off within the round', async t => {
  const direct = [streamSample(100), streamSample(900)]
  const engine = [streamSample(150), streamSample(950)]
  const summary = summarizeStreams(
    new Map([
      ['direct', direct],
      ['engine', engine]
    ] as const)
  ).get('engine')
  t.equal(summary?.addedP50Us.median, 50)
  t.equal(summary?.badStreams, 2)
})
