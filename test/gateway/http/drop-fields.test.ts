import t from 'tap'

import { keptText, parseRequest, parseResponse } from '../../fixtures/head-parsers.ts'

const HEAD = 'GET / HTTP/1.1\r\nHost: a\r\n'

t.test('nominated fields go wherever they stand, in any case, and only they', async t => {
  const { head } = parseRequest(
    `GET / HTTP/1.1\r\nX-ONE: 1\r\nA: b\r\nHost: a\r\nx-Two: 2\r\nX-Three: 3\r\nConnection: x-one,X-TWO\r\nX-one: 4\r\n\r\n`
  )
  t.equal(keptText(head), 'GET / HTTP/1.1\r\nA: b\r\nHost: a\r\nX-Three: 3\r\n')
})

t.test('several Connection lines add up', async t => {
  const { head } = parseRequest(`${HEAD}Connection: x\r\nX: 1\r\nY: 2\r\nConnection: y, close\r\nZ: 3\r\n\r\n`)
  t.equal(keptText(head), `${HEAD}Z: 3\r\n`)
  t.ok(head.fields.connectionClose)
})

t.test('a nomination of nothing that is there changes nothing', async t => {
  const { head } = parseRequest(`${HEAD}Connection: nothing, , \t\r\nA: b\r\n\r\n`)
  t.equal(keptText(head), `${HEAD}A: b\r\n`)
})

t.test('a name is not taken for its prefix, nor a value for a name', async t => {
  const { head } = parseRequest(`${HEAD}Connection: x-a\r\nX-Ab: 1\r\nX: x-a\r\n\r\n`)
  t.equal(keptText(head), `${HEAD}X-Ab: 1\r\nX: x-a\r\n`)
})

t.test('as many dropped and kept lines as a head may have', async t => {
  const lines = ['Host: a', 'B: 1', 'X: 1', 'C: 1', 'X: 2', 'D: 1', 'X: 3', 'Connection: x']
  const { head, verdict } = parseRequest(`GET / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  t.equal(verdict, 'ok')
  t.equal(keptText(head), `${HEAD}B: 1\r\nC: 1\r\nD: 1\r\n`)
})

t.test('the rewritten line of an absolute target stays apart', async t => {
  const { head } = parseRequest('GET http://h/p HTTP/1.1\r\nX: 1\r\nHost: a\r\nConnection: x\r\n\r\n')
  t.equal(head.rewrittenLine, 'GET /p HTTP/1.1\r\n')
  t.equal(keptText(head), 'Host: a\r\n')
})

t.test('responses lose what they nominate', async t => {
  const { head } = parseResponse('HTTP/1.1 200 OK\r\nX: 1\r\nConnection: x, close\r\nA: b\r\n\r\n')
  t.equal(keptText(head), 'HTTP/1.1 200 OK\r\nA: b\r\n')
  const old = parseResponse('HTTP/1.0 200 OK\r\nX: 1\r\nConnection: x\r\nA: b\r\n\r\n')
  t.equal(keptText(old.head), ' 200 OK\r\nA: b\r\n')
})
