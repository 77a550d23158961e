import t from 'tap'
import { Exchange } from '../../gateway/http/exchange.ts'
import { accessLogLine } from '../../gateway/access-log-line.ts'
import { RequestContext } from '../../gateway/request/request-context.ts'

function exchangeOf(more: Partial<Exchange> = {}): Exchange {
  const exchange = new Exchange('10.0.0.9', 1000)
  return Object.assign(
    exchange,
    { method: 'GET', target: '/x', status: 200, outcome: 'ok', attempts: 1, respondedAtMs: 1002.5 },
    more
  )
}

function parse(exchange: Exchange, context: RequestContext | null = null): Record<string, unknown> {
  const line = accessLogLine(exchange, { context, endedAtMs: 1004.12345, timeMs: 1_700_000_000_000 })
  t.equal(line.indexOf('\n'), line.length - 1, 'one line')
  return JSON.parse(line) as Record<string, unknown>
}

t.test('a line says what became of the request', async t => {
  const line = parse(exchangeOf({ requestBytes: 3, responseBytes: 7 }), new RequestContext('sandbox', 'abc', null))
  t.match(line, {
    outcome: 'ok',
    status: 200,
    method: 'GET',
    path: '/x',
    session: 'abc',
    member: null,
    route: 'sandbox',
    durationMs: 4.123,
    headMs: 2.5,
    requestBytes: 3,
    responseBytes: 7,
    client: '10.0.0.9'
  })
  t.equal(line['time'], 1_700_000_000_000)
})

t.test('nothing that a client sends can break a line or forge a field', async t => {
  const paths = [
    '/a"b',
    '/a\\',
    '/"},{"status":"200',
    '/\u0000\u001f\u007f',
    '/é\u2028\u2029',
    '/a\nb',
    '/a\\"',
    '/\ud800'
  ]
  for (const target of paths) t.equal(parse(exchangeOf({ target }))['path'], target)
  for (let code = 0; code < 256; code++) {
    const target = `/${String.fromCharCode(code)}x`
    if (code !== 0x3f) t.equal(parse(exchangeOf({ target }))['path'], target)
  }
  t.equal(parse(exchangeOf({ method: 'M"\\' }))['method'], 'M"\\')
})

t.test('the query is left out: clients put tokens there', async t => {
  t.equal(parse(exchangeOf({ target: '/x?token=secret' }))['path'], '/x')
})

t.test('a request that never got so far has empty fields, not missing ones', async t => {
  const line = parse(exchangeOf({ method: '', target: '', status: 400, outcome: 'bad-request', respondedAtMs: 0 }))
  t.match(line, { session: null, member: null, route: 'none', headMs: null, heldMs: 0, epoch: 0 })
})
