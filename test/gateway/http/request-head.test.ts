import t from 'tap'

import { describeRequest, keptText, parseRequest, requestParser, verdictName } from '../../fixtures/head-parsers.ts'

/** A head with Host and the given further lines. */
function request(line: string, ...fields: string[]): string {
  return [line, 'Host: a', ...fields, '', ''].join('\r\n')
}

const GET = 'GET / HTTP/1.1'

/** Refused heads, each with a twin that differs in nothing else and passes. */
const REFUSED: readonly (readonly [error: string, bad: string, twin: string])[] = [
  ['badMethod', request('G ET / HTTP/1.1').replace('G ET', 'G\tET'), request(GET)],
  ['badMethod', request(' / HTTP/1.1'), request('X / HTTP/1.1')],
  ['badMethod', request(`${'A'.repeat(33)} / HTTP/1.1`), request(`${'A'.repeat(32)} / HTTP/1.1`)],
  ['badMethod', request('G(T / HTTP/1.1'), request('G!T / HTTP/1.1')],
  ['badTarget', request('GET  / HTTP/1.1'), request(GET)],
  ['badTarget', request('GET /a\x00b HTTP/1.1'), request('GET /a%00b HTTP/1.1')],
  ['badTarget', request('GET /\x7f HTTP/1.1'), request('GET /~ HTTP/1.1')],
  ['badTarget', request('GET /\xe9 HTTP/1.1'), request('GET /%e9 HTTP/1.1')],
  ['badTarget', request('GET /\ta HTTP/1.1'), request('GET /%09a HTTP/1.1')],
  ['badTarget', request('GET /'), request(GET)],
  ['badTarget', request('GET a HTTP/1.1'), request('GET /a HTTP/1.1')],
  ['badTarget', request('GET * HTTP/1.1'), request('OPTIONS * HTTP/1.1')],
  ['badTarget', request('GET ftp://a/ HTTP/1.1'), request('GET http://a/ HTTP/1.1')],
  ['badTarget', request('GET http://u@a/ HTTP/1.1'), request('GET http://a/u@a HTTP/1.1')],
  ['badTarget', request('GET http:///x HTTP/1.1'), request('GET http://x/x HTTP/1.1')],
  ['badTarget', request('GET a:80 HTTP/1.1'), request('GET /a:80 HTTP/1.1')],
  ['badVersion', request('GET / HTTP/1.1 '), request(GET)],
  ['badVersion', request('GET / http/1.1'), request(GET)],
  ['badVersion', request('GET / HTTP/1,1'), request(GET)],
  ['badVersion', request('GET / HTTP/11.1'), request(GET)],
  ['badVersion', request('GET / XTTP/1.1'), request(GET)],
  ['badVersion', request('GET / b HTTP/1.1'), request('GET /b HTTP/1.1')],
  ['unsupportedVersion', request('GET / HTTP/1.2'), request(GET)],
  ['unsupportedVersion', request('GET / HTTP/2.0'), request(GET)],
  ['unsupportedVersion', request('GET / HTTP/0.9'), request('GET / HTTP/1.0')],
  ['badFieldName', request(GET, 'A : b'), request(GET, 'A: b')],
  ['badFieldName', request(GET, 'A\t: b'), request(GET, 'A:\tb')],
  ['badFieldName', request(GET, ': b'), request(GET, 'b: b')],
  ['badFieldName', request(GET, 'A(: b'), request(GET, 'A!: b')],
  ['badFieldName', request(GET, 'A'), request(GET, 'A:')],
  ['badFieldName', request(GET, 'A\x00: b'), request(GET, 'A0: b')],
  ['badFieldName', request(GET, '\xe9: b'), request(GET, 'e: \xe9')],
  ['badFieldValue', request(GET, 'A: b\x00'), request(GET, 'A: b0')],
  ['badFieldValue', request(GET, 'A: \x01b'), request(GET, 'A: 1b')],
  ['badFieldValue', request(GET, 'A: b\x7f'), request(GET, 'A: b~')],
  ['badFieldValue', request(GET, 'A: b\x0b'), request(GET, 'A: b\t')],
  ['badConnection', request(GET, 'Connection: host'), request(GET, 'Connection: hosts')],
  ['badConnection', request(GET, 'Connection: x, Content-Length'), request(GET, 'Connection: x, Content-Lengt')],
  ['badConnection', request(GET, 'Connection: transfer-encoding'), request(GET, 'Connection: encoding')],
  ['badConnection', request(GET, 'Connection: X-Sandbox-ID'), request(GET, 'Connection: X-Sandbox')],
  ['badLineEnd', request('GET / HTTP/1.1').replace('\r\n', '\n'), request(GET)],
  ['badLineEnd', request(GET, 'A: b\nC: d'), request(GET, 'A: b\r\nC: d')],
  ['badLineEnd', request(GET, 'A: b\rC: d'), request(GET, 'A: b\r\nC: d')],
  ['badLineEnd', request(GET, 'A: b').replace(/\r\n$/, '\rX'), request(GET, 'A: b')],
  ['badLineEnd', `${request(GET).slice(0, -2)}\n`, request(GET)],
  ['foldedField', request(GET, 'A: b', ' c'), request(GET, 'A: b c')],
  ['foldedField', request(GET, 'A: b', '\tc'), request(GET, 'A: b\tc')],
  ['foldedField', request(GET).replace('Host', ' Host'), request(GET)],
  ['repeatedLength', request(GET, 'Content-Length: 4', 'Content-Length: 4'), request(GET, 'Content-Length: 4')],
  ['repeatedLength', request(GET, 'Content-Length: 4', 'content-length: 5'), request(GET, 'content-length: 5')],
  ...['+4', '-1', '4,4', '4, 4', '0x4', '4 4', '', '1'.repeat(16), '4.0', '\xb2', 'a'].map(
    value => ['badLength', request(GET, `Content-Length: ${value}`), request(GET, 'Content-Length: 4')] as const
  ),
  [
    'lengthWithEncoding',
    request(GET, 'Content-Length: 4', 'Transfer-Encoding: chunked'),
    request(GET, 'Transfer-Encoding: chunked')
  ],
  [
    'lengthWithEncoding',
    request(GET, 'Transfer-Encoding: chunked', 'Content-Length: 0'),
    request(GET, 'Content-Length: 0')
  ],
  ...[
    'gzip, chunked',
    'chunked, chunked',
    'identity',
    'chunked;q=1',
    'xchunked',
    'chunke',
    '',
    '"chunked"',
    'chunked,'
  ].map(
    value =>
      ['badEncoding', request(GET, `Transfer-Encoding: ${value}`), request(GET, 'Transfer-Encoding: cHunKed ')] as const
  ),
  [
    'badEncoding',
    request(GET, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    request(GET, 'Transfer-Encoding: chunked')
  ],
  ['repeatedHost', request(GET, 'Host: a'), request(GET, 'Hosts: a')],
  ['missingHost', `${GET}\r\nA: b\r\n\r\n`, 'GET / HTTP/1.0\r\nA: b\r\n\r\n'],
  ['missingHost', 'GET http://a/ HTTP/1.1\r\n\r\n', 'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['badHost', request(GET).replace('Host: a', 'Host: a b'), request(GET)],
  ['badHost', request(GET).replace('Host: a', 'Host: a/b'), request(GET)],
  ['badHost', request(GET).replace('Host: a', 'Host: u@a'), request(GET).replace('Host: a', 'Host: [::1]:80')],
  ['repeatedRoutingField', request(GET, 'X-Sandbox-ID: a', 'x-sandbox-id: a'), request(GET, 'X-Sandbox-ID: a')],
  ['tooManyFields', request(GET, ...Array<string>(8).fill('A: b')), request(GET, ...Array<string>(7).fill('A: b'))],
  ['targetTooLong', request(`GET /${'a'.repeat(64)} HTTP/1.1`), request(`GET /${'a'.repeat(63)} HTTP/1.1`)],
  ['targetTooLong', `GET /${'a'.repeat(64)}`, request(`GET /${'a'.repeat(63)} HTTP/1.1`)],
  ['connectRefused', request('CONNECT a:443 HTTP/1.1'), request('CONNECTS /a HTTP/1.1')],
  ['connectRefused', request('CONNECT /a HTTP/1.1'), request('CONNEC /a HTTP/1.1')],
  ['connectRefused', request('CONNECT http://a/ HTTP/1.1'), request('GET http://a/ HTTP/1.1')],
  [
    'encodingInOldVersion',
    request('POST / HTTP/1.0', 'Transfer-Encoding: chunked'),
    request('POST / HTTP/1.1', 'Transfer-Encoding: chunked')
  ],
  ['badUpgrade', request(GET, 'Upgrade: a', 'Upgrade: b'), request(GET, 'Upgrade: a, b')]
]

t.test('every malformed head is refused for its reason, its twin is taken', async t => {
  for (const [error, bad, twin] of REFUSED) {
    t.equal(parseRequest(bad).verdict, error, `${error}: ${JSON.stringify(bad)}`)
    const { verdict, result } = parseRequest(twin)
    t.same([verdict, result], ['ok', twin.length], `twin of ${error}: ${JSON.stringify(twin)}`)
  }
})

t.test('a refused head that comes byte by byte is never taken and is refused in the end', async t => {
  for (const [error, bad] of REFUSED) {
    const head = requestParser()
    const bytes = Buffer.from(bad, 'latin1')
    const verdicts = new Set<string>()
    for (let end = 1; end <= bytes.length; end++) verdicts.add(verdictName(head.parse(bytes, 0, end)))
    t.notOk(verdicts.has('ok'), `${error} ${JSON.stringify(bad)}: ${[...verdicts].join(' ')}`)
    t.ok(verdicts.size > 1 || !verdicts.has('incomplete'), `${error} is refused at the latest at its last byte`)
  }
})

/** Heads that pass, and what must be said of them. */
const TAKEN: readonly (readonly [text: string, expected: object])[] = [
  [request(GET), { method: 'GET', path: '/', line: '', minorVersion: 1, length: -1, chunked: false }],
  [request('get /%2e%2E//..;a?b=%20|"<>\\^`{}#c HTTP/1.1'), { method: 'get', path: '/%2e%2E//..;a?b=%20|"<>\\^`{}#c' }],
  [request('POST / HTTP/1.1', 'CONTENT-LENGTH:\t 012 \t'), { method: 'POST', length: 12 }],
  [request('POST / HTTP/1.1', 'Content-Length: 999999999999999'), { length: 999999999999999 }],
  [request('POST / HTTP/1.1', 'transfer-encoding:CHUNKED'), { chunked: true }],
  [request('GET / HTTP/1.0'), { minorVersion: 0, line: 'GET / HTTP/1.1\r\n', kept: 'Host: a\r\n' }],
  [request('GET http://h:1/p?q HTTP/1.1'), { path: '/p?q', authority: 'h:1', line: 'GET /p?q HTTP/1.1\r\n' }],
  [request('GET HTTPS://H/ HTTP/1.1'), { path: '/', authority: 'H', line: 'GET / HTTP/1.1\r\n' }],
  [request('GET http://h HTTP/1.1'), { path: '/', line: 'GET / HTTP/1.1\r\n' }],
  [request('GET http://h?q=/ HTTP/1.1'), { path: '/?q=/', line: 'GET /?q=/ HTTP/1.1\r\n' }],
  [request('OPTIONS http://h HTTP/1.1'), { path: '*', line: 'OPTIONS * HTTP/1.1\r\n' }],
  [request('OPTIONS * HTTP/1.1'), { path: '*', line: 'OPTIONS * HTTP/1.1\r\n' }],
  [request(GET, 'X-Sandbox-ID: \t a b \t'), { captured: 'a b' }],
  [request(GET, 'X-Sandbox-ID:'), { captured: '' }],
  [request(GET), { captured: null }],
  [request(GET, 'X-Fairlead-Session: x', 'B: c'), { kept: `${GET}\r\nHost: a\r\nB: c\r\n` }],
  [request(GET, 'Connection: Close'), { close: true, keepAlive: false, kept: `${GET}\r\nHost: a\r\n` }],
  [request(GET, 'Connection: keep-alive ,, close'), { close: true, keepAlive: true }],
  [request(GET, 'Connection: upgrade', 'Upgrade: h2c , WebSocket'), { upgrade: 'websocket' }],
  [request(GET, 'Connection: x, UPGRADE', 'Upgrade: websocket'), { upgrade: 'websocket' }],
  [request(GET, 'Connection: close', 'Upgrade: websocket'), { upgrade: null }],
  [request(GET, 'Connection: upgrade', 'Upgrade: h2c'), { upgrade: null, kept: `${GET}\r\nHost: a\r\n` }],
  [request(GET, 'Connection: upgrade', 'Upgrade: websockets'), { upgrade: null }],
  [request(GET, 'Connection: upgrade', 'Upgrade: websocket', 'Content-Length: 1'), { upgrade: null }],
  [request('GET / HTTP/1.0', 'Connection: upgrade', 'Upgrade: websocket'), { upgrade: null }],
  [
    request(
      GET,
      'TE: trailers',
      'Trailer: x',
      'Keep-Alive: 1',
      'Proxy-Connection: x',
      'Proxy-Authorization: x',
      'A: b'
    ),
    { kept: `${GET}\r\nHost: a\r\nA: b\r\n` }
  ],
  [request(GET, 'A: 1', 'B: 2', 'Connection: a', 'C: 3'), { kept: `${GET}\r\nHost: a\r\nB: 2\r\nC: 3\r\n` }],
  [request(GET, 'Connection: a, b', 'A: 1', 'B: 2', 'A: 3'), { kept: `${GET}\r\nHost: a\r\n` }],
  [request(GET, 'X-Forwarded-For: 1', 'X-Forwarded-Host: 2', 'x-forwarded-proto: 3'), { kept: `${GET}\r\nHost: a\r\n` }]
]

t.test('a good head says what it says, in one piece and byte by byte', async t => {
  for (const [text, expected] of TAKEN) {
    const whole = parseRequest(text)
    t.match(describeRequest(whole.head, whole.result), { result: 'ok', ...expected }, JSON.stringify(text))
    const bytes = Buffer.from(text, 'latin1')
    const head = requestParser()
    let early = 0
    for (let end = 0; end < bytes.length; end++) if (head.parse(bytes, 0, end) !== 0) early++
    t.equal(early, 0, 'every beginning of it is incomplete')
    const last = head.parse(bytes, 0, bytes.length)
    t.strictSame(
      describeRequest(head, last),
      describeRequest(whole.head, whole.result),
      'and the end makes no difference'
    )
  }
})

t.test('many heads in one buffer are found one after the other', async t => {
  const heads = TAKEN.map(([text]) => text)
  const bytes = Buffer.from(heads.join(''), 'latin1')
  const head = requestParser()
  let start = 0
  for (const text of heads) {
    const next = head.parse(bytes, start, bytes.length)
    t.equal(next, start + text.length)
    start = next
  }
})

t.test('bytes after the end that was given are not read', async t => {
  const text = request(GET, 'A: b')
  const bytes = Buffer.from(`${text}Content-Length: 5\r\n\r\n`, 'latin1')
  t.equal(requestParser().parse(bytes, 0, text.length - 1), 0)
})

t.test('what one head said is forgotten at the next', async t => {
  const head = requestParser()
  const first = Buffer.from(
    request('HEAD http://h/x HTTP/1.0', 'X-Sandbox-ID: s', 'Connection: keep-alive, upgrade, z', 'Upgrade: websocket')
  )
  const second = Buffer.from(request(GET))
  head.parse(first, 0, first.length)
  t.ok(head.isHead && head.hasCaptured(0))
  const result = head.parse(second, 0, second.length)
  const fresh = parseRequest(request(GET))
  t.strictSame(describeRequest(head, result), describeRequest(fresh.head, fresh.result))
  t.notOk(head.isHead || head.hasCaptured(0))
  t.equal(keptText(head), `${GET}\r\nHost: a\r\n`)
})

t.test('pathStartsWith compares bytes and never beyond the path', async t => {
  const { head } = parseRequest(request('GET /ab HTTP/1.1'))
  t.ok(head.pathStartsWith(Buffer.from('/ab')))
  t.ok(head.pathStartsWith(Buffer.from('/')))
  t.notOk(head.pathStartsWith(Buffer.from('/ab ')))
  t.notOk(head.pathStartsWith(Buffer.from('/aB')))
})

t.test('a field that is both captured and stripped is read and does not pass', async t => {
  const { requestFieldTable } = await import('../../../gateway/http/field-table.ts')
  const { RequestHead } = await import('../../../gateway/http/request-head.ts')
  const names = ['x-a']
  const table = requestFieldTable({ captured: names, stripped: names })
  const head = new RequestHead(table, { bounds: { maxTargetBytes: 64, maxHeaderCount: 8 }, capturedFields: names })
  const bytes = Buffer.from(request(GET, 'X-A: 1', 'X-B: 2'))
  head.parse(bytes, 0, bytes.length)
  t.equal(head.captured(0), '1')
  t.equal(keptText(head), `${GET}\r\nHost: a\r\nX-B: 2\r\n`)
})
