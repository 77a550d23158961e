import t from 'tap'
import { AggregatorRegistry, Registry } from 'prom-client'
import { DURATION_BUCKETS, RequestMetrics } from '../../gateway/request-metrics.ts'

const NAME = 'fairlead_gateway_request_duration_seconds'

function value(text: string, line: string): number | undefined {
  const row = text.split('\n').find(candidate => candidate.startsWith(`${line} `))
  return row === undefined ? undefined : Number(row.split(' ').at(-1))
}

t.test('durations fall into cumulative buckets, a bound belongs to its bucket', async t => {
  const prom = new Registry()
  const metrics = new RequestMetrics(prom)
  for (const durationMs of [0.1, 0.5, 0.6, 1000, 1e9])
    metrics.observe({ route: 'sandbox', status: 200, outcome: 'ok', durationMs })
  const text = await prom.metrics()
  const labels = 'route="sandbox",status="2xx"'
  t.equal(value(text, `${NAME}_bucket{le="0.0005",${labels}}`), 2)
  t.equal(value(text, `${NAME}_bucket{le="0.001",${labels}}`), 3)
  t.equal(value(text, `${NAME}_bucket{le="0.5",${labels}}`), 3)
  t.equal(value(text, `${NAME}_bucket{le="1",${labels}}`), 4)
  t.equal(value(text, `${NAME}_bucket{le="600",${labels}}`), 4)
  t.equal(value(text, `${NAME}_bucket{le="+Inf",${labels}}`), 5)
  t.equal(value(text, `${NAME}_count{${labels}}`), 5)
  t.ok(Math.abs((value(text, `${NAME}_sum{${labels}}`) ?? 0) - 1_000_001.0012) < 1e-6)
  t.match(text, `# TYPE ${NAME} histogram`)
})

t.test('requests are counted by route, class of status and outcome', async t => {
  const prom = new Registry()
  const metrics = new RequestMetrics(prom)
  const observe = (route: 'sandbox' | 'instance' | 'none', status: number, outcome: string) =>
    metrics.observe({ route, status, outcome, durationMs: 1 })
  observe('sandbox', 200, 'ok')
  observe('sandbox', 204, 'ok')
  observe('instance', 404, 'session-unknown')
  observe('none', 0, 'client-abort')
  observe('instance', 101, 'ok')
  const text = await prom.metrics()
  const total = 'fairlead_gateway_requests_total'
  t.equal(value(text, `${total}{route="sandbox",status="2xx",outcome="ok"}`), 2)
  t.equal(value(text, `${total}{route="instance",status="4xx",outcome="session-unknown"}`), 1)
  t.equal(value(text, `${total}{route="none",status="none",outcome="client-abort"}`), 1)
  t.equal(value(text, `${total}{route="instance",status="1xx",outcome="ok"}`), 1)
})

t.test('scraping twice counts nothing twice', async t => {
  const prom = new Registry()
  new RequestMetrics(prom).observe({ route: 'sandbox', status: 200, outcome: 'ok', durationMs: 1 })
  t.equal(await prom.metrics(), await prom.metrics())
})

t.test('outcomes without end do not grow the metrics without end', async t => {
  const prom = new Registry()
  const metrics = new RequestMetrics(prom)
  for (let i = 0; i < 1000; i++) metrics.observe({ route: 'none', status: 400, outcome: `made-up-${i}`, durationMs: 1 })
  const rows = (await prom.metrics()).split('\n').filter(row => row.startsWith('fairlead_gateway_requests_total{'))
  t.equal(rows.length, 64)
  t.equal(
    value(rows.join('\n'), 'fairlead_gateway_requests_total{route="none",status="4xx",outcome="other"}'),
    1000 - 63
  )
})

t.test('processes add up', async t => {
  const arrays: object[] = []
  for (let i = 0; i < 3; i++) {
    const prom = new Registry()
    new RequestMetrics(prom).observe({ route: 'sandbox', status: 200, outcome: 'ok', durationMs: 2 })
    arrays.push(await prom.getMetricsAsJSON())
  }
  const text = await AggregatorRegistry.aggregate(arrays).metrics()
  t.equal(value(text, 'fairlead_gateway_requests_total{route="sandbox",status="2xx",outcome="ok"}'), 3)
  t.equal(value(text, `${NAME}_count{route="sandbox",status="2xx"}`), 3)
  t.equal(value(text, `${NAME}_bucket{le="0.0025",route="sandbox",status="2xx"}`), 3)
  t.equal(value(text, `${NAME}_bucket{le="0.001",route="sandbox",status="2xx"}`), 0)
  t.equal(text.split('\n').filter(row => row.startsWith(`${NAME}_bucket`)).length, DURATION_BUCKETS.length + 1)
})
