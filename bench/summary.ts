import type { SubjectName } from './options.ts'
import type { Samples } from './rounds.ts'
import type { LoadSample } from './scenarios/load.ts'
import type { StreamSample } from './scenarios/ndjson.ts'
import { median, pairedRatios, spread, type Spread } from './statistics.ts'

/** Subjects that others are compared with, where they take part. */
export const REFERENCES = ['nginx', 'nginx+log', 'haproxy', 'http-proxy-3'] as const satisfies readonly SubjectName[]

/** A reference's name. */
export type Reference = (typeof REFERENCES)[number]

/** A subject's rounds in a closed loop, summed up. */
export interface LoadSummary {
  requestsPerSecond: Spread
  cpuUs: Spread
  userUs: number
  systemUs: number
  coreUse: number
  p50Ms: number
  p99Ms: number
  badAnswers: number
  socketErrors: number
  /** CPU per request of the reference divided by that of the subject, within rounds: above 1 the subject costs less. */
  cpuRatio: Partial<Record<Reference, Spread>>
  /** Requests per second of the subject divided by those of the reference, within rounds. */
  rateRatio: Partial<Record<Reference, Spread>>
}

/** A subject's rounds of paced streams, summed up; times in microseconds. */
export interface StreamSummary {
  p50Us: Spread
  p90Us: number
  p99Us: number
  /** Latency through the subject less that of the direct way, within rounds. */
  addedP50Us: Spread
  addedP90Us: Spread
  cpuUs: number
  badStreams: number
}

/** Sums up what a closed loop gave, by subject. */
export function summarizeLoad(samples: Samples<LoadSample>): Map<string, LoadSummary> {
  return mapValues(samples, own => ({
    requestsPerSecond: spread(own.map(sample => sample.requestsPerSecond)),
    cpuUs: spread(own.map(sample => sample.cpuUs)),
    userUs: median(own.map(sample => sample.userUs)),
    systemUs: median(own.map(sample => sample.systemUs)),
    coreUse: median(own.map(sample => sample.coreUse)),
    p50Ms: median(own.map(sample => sample.p50Ms)),
    p99Ms: median(own.map(sample => sample.p99Ms)),
    badAnswers: sum(own.map(sample => sample.badAnswers)),
    socketErrors: sum(own.map(sample => sample.socketErrors)),
    cpuRatio: againstReferences(samples, reference => pairedRatios(cpu(reference), cpu(own))),
    rateRatio: againstReferences(samples, reference => pairedRatios(rate(own), rate(reference)))
  }))
}

/** Sums up what paced streams gave, by subject and for the direct way. */
export function summarizeStreams(samples: Samples<StreamSample>): Map<string, StreamSummary> {
  const direct = samples.get('direct') ?? []
  const added = (own: readonly StreamSample[], read: (sample: StreamSample) => number): Spread =>
    spread(own.map((sample, round) => read(sample) - (direct[round] === undefined ? Number.NaN : read(direct[round]))))
  return mapValues(samples, own => ({
    p50Us: spread(own.map(sample => sample.p50Us)),
    p90Us: median(own.map(sample => sample.p90Us)),
    p99Us: median(own.map(sample => sample.p99Us)),
    addedP50Us: added(own, sample => sample.p50Us),
    addedP90Us: added(own, sample => sample.p90Us),
    cpuUs: median(own.map(sample => sample.cpuUs)),
    badStreams: sum(own.map(sample => sample.badStreams))
  }))
}

function againstReferences(
  samples: Samples<LoadSample>,
  compare: (reference: readonly LoadSample[]) => number[]
): Partial<Record<Reference, Spread>> {
  const ratios: Partial<Record<Reference, Spread>> = {}
  for (const name of REFERENCES) {
    const reference = samples.get(name)
    if (reference !== undefined) ratios[name] = spread(compare(reference))
  }
  return ratios
}

const cpu = (samples: readonly LoadSample[]): number[] => samples.map(sample => sample.cpuUs)
const rate = (samples: readonly LoadSample[]): number[] => samples.map(sample => sample.requestsPerSecond)
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

function mapValues<Sample, Summary>(
  samples: Samples<Sample>,
  summarize: (own: readonly Sample[]) => Summary
): Map<string, Summary> {
  return new Map([...samples].map(([name, own]) => [name, summarize(own)]))
}
