import { Counter, Histogram } from 'prom-client'
import { ROUTE_KINDS } from './request/request-context.ts'
import type { Registry as PromRegistry } from 'prom-client'
import type { RouteKind } from './request/request-context.ts'

/** Upper bounds of the duration histogram, in seconds: from a cached lookup on one host to an agent's long answer. */
export const DURATION_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600
] as const

const STATUS_CLASSES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const
/** One slot per bucket, one for `+Inf`, one for the sum. */
const SERIES_SLOTS = DURATION_BUCKETS.length + 2
const SERIES = ROUTE_KINDS.length * STATUS_CLASSES.length
/** Outcome words are a small closed set; what exceeds it is counted as `other`, so that a mistake cannot grow the metrics without bound. */
const MAX_OUTCOMES = 64

const ROUTE_INDEX: Record<RouteKind, number> = { sandbox: 0, instance: 1, management: 2, none: 3 }

/**
 * Counts finished requests in arrays of numbers; prom-client reads them when it is scraped. An observation costs some tens of nanoseconds,
 * where prom-client's own labels cost more than a microsecond.
 */
export class RequestMetrics {
  readonly #durations = new Float64Array(SERIES * SERIES_SLOTS)
  readonly #outcomes = new Float64Array(SERIES * MAX_OUTCOMES)
  readonly #outcomeIndex = new Map<string, number>([['other', 0]])

  constructor(prom: PromRegistry) {
    const durations = () => this.#durationSeries()
    const outcomes = () => this.#outcomeSeries()
    prom.registerMetric(new SlotHistogram(durations))
    const counter = new Counter({
      name: 'fairlead_gateway_requests_total',
      help: 'Finished requests by how they were addressed, class of the status that the client was sent, and outcome',
      labelNames: ['route', 'status', 'outcome'],
      registers: [],
      collect() {
        this.reset()
        for (const { labels, value } of outcomes()) this.inc(labels, value)
      }
    })
    prom.registerMetric(counter)
  }

  /** Counts one finished request; `durationMs` in milliseconds. */
  observe(request: { route: RouteKind; status: number; outcome: string; durationMs: number }): void {
    const series = ROUTE_INDEX[request.route] * STATUS_CLASSES.length + Math.min(5, Math.trunc(request.status / 100))
    const start = series * SERIES_SLOTS
    const seconds = request.durationMs / 1000
    let bucket = 0
    while (bucket < DURATION_BUCKETS.length && seconds > DURATION_BUCKETS[bucket]!) bucket++
    this.#durations[start + bucket]! += 1
    this.#durations[start + SERIES_SLOTS - 1]! += seconds
    this.#outcomes[series * MAX_OUTCOMES + this.#indexOf(request.outcome)]! += 1
  }

  #indexOf(outcome: string): number {
    const known = this.#outcomeIndex.get(outcome)
    if (known !== undefined) return known
    if (this.#outcomeIndex.size >= MAX_OUTCOMES) return 0
    const index = this.#outcomeIndex.size
    this.#outcomeIndex.set(outcome, index)
    return index
  }

  #outcomeSeries(): { labels: Record<'route' | 'status' | 'outcome', string>; value: number }[] {
    const found = []
    for (let series = 0; series < SERIES; series++) {
      for (const [outcome, index] of this.#outcomeIndex) {
        const value = this.#outcomes[series * MAX_OUTCOMES + index]!
        if (value > 0) found.push({ labels: { ...seriesLabels(series), outcome }, value })
      }
    }
    return found
  }

  #durationSeries(): DurationSeries[] {
    const found = []
    for (let series = 0; series < SERIES; series++) {
      const slots = this.#durations.subarray(series * SERIES_SLOTS, (series + 1) * SERIES_SLOTS)
      const count = slots.subarray(0, -1).reduce((sum, value) => sum + value, 0)
      if (count > 0) found.push({ labels: seriesLabels(series), slots, count })
    }
    return found
  }
}

type SeriesLabels = Record<'route' | 'status', string>

interface DurationSeries {
  labels: SeriesLabels
  slots: Float64Array
  count: number
}

function seriesLabels(series: number): SeriesLabels {
  const route = ROUTE_KINDS[Math.trunc(series / STATUS_CLASSES.length)]!
  return { route, status: STATUS_CLASSES[series % STATUS_CLASSES.length]! }
}

const HISTOGRAM_NAME = 'fairlead_gateway_request_duration_seconds'
const HISTOGRAM_HELP =
  'Time from the request head to the last byte of the response, by how the request was addressed and class of the status'

/** As prom-client's registry wants them; it adds the shared labels to the others, in place. */
interface HistogramValue {
  metricName: string
  labels: Record<string, string | number>
  sharedLabels: SeriesLabels
  value: number
}

/** prom-client's histogram has no way to be given bucket counts, so the one method that both its readers go through is replaced. */
class SlotHistogram extends Histogram {
  readonly #series: () => DurationSeries[]

  constructor(series: () => DurationSeries[]) {
    super({ name: HISTOGRAM_NAME, help: HISTOGRAM_HELP, labelNames: ['route', 'status'], registers: [] })
    this.#series = series
  }

  /** What prom-client reads, for the text format as well as for the aggregation over workers. */
  getForPromString(): object {
    const values = this.#series().flatMap(valuesOf)
    return { name: HISTOGRAM_NAME, help: HISTOGRAM_HELP, type: 'histogram', aggregator: 'sum', values }
  }
}

function valuesOf({ labels: sharedLabels, slots, count }: DurationSeries): HistogramValue[] {
  const values: HistogramValue[] = []
  const add = (suffix: string, value: number, labels: HistogramValue['labels'] = {}) =>
    values.push({ metricName: `${HISTOGRAM_NAME}_${suffix}`, labels, sharedLabels, value })
  let below = 0
  for (const [index, bound] of DURATION_BUCKETS.entries()) {
    below += slots[index]!
    add('bucket', below, { le: bound })
  }
  add('bucket', count, { le: '+Inf' })
  add('sum', slots.at(-1)!)
  add('count', count)
  return values
}
