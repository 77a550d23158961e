import t from 'tap'

import { keptText, parseResponse, responseParser, verdictName } from '../../fixtures/head-parsers.ts'

/** A response head with the given lines. */
function response(line: string, ...fields: string[]): string {
  return [line, ...fields, '', ''].join('\r\n')
}

const OK = 'HTTP/1.1 200 OK'

const REFUSED: readonly (readonly [error: string, bad: string, twin: string])[] = [
  ['badStatusLine', response('HTTP/1.1 20 OK'), response(OK)],
  ['badStatusLine', response('HTTP/1.1 2000 OK'), response(OK)],
  ['badStatusLine', response('HTTP/1.1 099 OK'), response('HTTP/1.1 100 OK')],
  ['badStatusLine', response('HTTP/1.1 600 OK'), response('HTTP/1.1 599 OK')],
  ['badStatusLine', response('HTTP/1.1 2x0 OK'), response(OK)],
  ['badStatusLine', response('HTTP/2.0 200 OK'), response(OK)],
  ['badStatusLine', response('HTTP/1.2 200 OK'), response(OK)],
  ['badStatusLine', response('http/1.1 200 OK'), response(OK)],
  ['badStatusLine', response('HTTP/1.1  200 OK'), response('HTTP/1.1 200  OK')],
  ['badStatusLine', response('HTTP/1.1 200 O\x00K'), response('HTTP/1.1 200 O\xe9K')],
  ['badStatusLine', `${OK}\nA: b\r\n\r\n`, response(OK, 'A: b')],
  ['badStatusLine', `${OK}\rA: b\r\n\r\n`, response(OK, 'A: b')],
  ['badStatusLine', 'SSH-2.0-OpenSSH_9\r\n', response(OK)],
  ['badStatusLine', '<', response(OK)],
  [
    'lengthWithEncoding',
    response(OK, 'Content-Length: 1', 'Transfer-Encoding: chunked'),
    response(OK, 'Content-Length: 1')
  ],
  ['repeatedLength', response(OK, 'Content-Length: 1', 'Content-Length: 1'), response(OK, 'Content-Length: 1')],
  ['badLength', response(OK, 'Content-Length: 1, 1'), response(OK, 'Content-Length: 1')],
  ['badEncoding', response(OK, 'Transfer-Encoding: gzip, chunked'), response(OK, 'Transfer-Encoding: chunked')],
  ['foldedField', response(OK, 'A: b', ' c'), response(OK, 'A: b c')],
  ['badFieldName', response(OK, 'A : b'), response(OK, 'A: b')],
  ['badFieldValue', response(OK, 'A: \x00'), response(OK, 'A: 0')],
  ['badConnection', response(OK, 'Connection: content-length'), response(OK, 'Connection: length')],
  ['badLineEnd', response(OK, 'A: b\nC: d'), response(OK, 'A: b', 'C: d')],
  ['tooManyFields', response(OK, ...Array<string>(9).fill('A: b')), response(OK, ...Array<string>(8).fill('A: b'))],
  [
    'encodingInOldVersion',
    response('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked'),
    response(OK, 'Transfer-Encoding: chunked')
  ],
  ['repeatedRoutingField', response(OK, 'X-Refused: a', 'X-Refused: a'), response(OK, 'X-Refused: a')]
]

t.test('every malformed response head is refused for its reason, its twin is taken', async t => {
  for (const [error, bad, twin] of REFUSED) {
    t.equal(parseResponse(bad).verdict, error, `${error}: ${JSON.stringify(bad)}`)
    const { verdict, result } = parseResponse(twin)
    t.same([verdict, result], ['ok', twin.length], `twin of ${error}: ${JSON.stringify(twin)}`)
  }
})

t.test('a malformed response head that comes byte by byte is never taken', async t => {
  for (const [error, bad] of REFUSED) {
    const head = responseParser()
    const bytes = Buffer.from(bad, 'latin1')
    const verdicts = new Set<string>()
    for (let end = 1; end <= bytes.length; end++) verdicts.add(verdictName(head.parse(bytes, 0, end, false)))
    t.notOk(verdicts.has('ok'), `${error}: ${JSON.stringify(bad)}`)
    t.ok(
      [...verdicts].some(verdict => verdict !== 'incomplete'),
      'refused at the latest at its last byte'
    )
  }
})

const TAKEN: readonly (readonly [text: string, kept: string])[] = [
  [response(OK), `${OK}\r\n`],
  [response('HTTP/1.1 200'), 'HTTP/1.1 200\r\n'],
  [response('HTTP/1.1 200 '), 'HTTP/1.1 200 \r\n'],
  [response('HTTP/1.1 404 Not \xe9 Found'), 'HTTP/1.1 404 Not \xe9 Found\r\n'],
  [response('HTTP/1.0 200 OK', 'A: b'), ' 200 OK\r\nA: b\r\n'],
  [response(OK, 'Connection: close, x', 'X: y', 'Keep-Alive: 5', 'A: b'), `${OK}\r\nA: b\r\n`],
  [response(OK, 'Set-Cookie: a', 'Set-Cookie: b'), `${OK}\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n`],
  [response('HTTP/1.1 204 No', 'Content-Length: 5', 'A: b'), 'HTTP/1.1 204 No\r\nA: b\r\n'],
  [response('HTTP/1.1 204 No', 'Transfer-Encoding: chunked'), 'HTTP/1.1 204 No\r\n'],
  [response('HTTP/1.1 103 Hints', 'Content-Length: 5', 'Link: x'), 'HTTP/1.1 103 Hints\r\nLink: x\r\n'],
  [response('HTTP/1.1 304 No', 'Content-Length: 5'), 'HTTP/1.1 304 No\r\nContent-Length: 5\r\n']
]

t.test('a good response head passes on what it should, in one piece and byte by byte', async t => {
  for (const [text, kept] of TAKEN) {
    const { head, verdict } = parseResponse(text)
    t.equal(verdict, 'ok', JSON.stringify(text))
    t.equal(keptText(head), kept)
    const bytes = Buffer.from(text, 'latin1')
    const early = Array.from(bytes.keys(), end => responseParser().parse(bytes, 0, end, false))
    t.ok(
      early.every(result => result === 0),
      'every beginning of it is incomplete'
    )
  }
})

t.test('Transfer-Encoding stays out where the body is going to be decoded', async t => {
  const text = response(OK, 'Transfer-Encoding: chunked', 'A: b')
  t.equal(keptText(parseResponse(text, true).head), `${OK}\r\nA: b\r\n`)
  t.equal(keptText(parseResponse(text, false).head), `${OK}\r\nTransfer-Encoding: chunked\r\nA: b\r\n`)
})

t.test('the refusal and the upgrade are read', async t => {
  const refused = parseResponse(response('HTTP/1.1 421 No', 'x-refused: \tnot-owner ')).head
  t.equal(refused.refusal, 'not-owner')
  t.equal(parseResponse(response(OK)).head.refusal, null)
  t.equal(parseResponse(response('HTTP/1.1 101 X', 'Upgrade: WebSocket')).head.upgrade, 'websocket')
})
