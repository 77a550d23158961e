import t from 'tap'

import { proxyTest } from '../../fixtures/proxy-fixture.ts'

const HEAD_11 = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const HEAD_10 = 'GET / HTTP/1.0\r\n\r\n'

/** What the upstream began, how it ended, and how the client can tell. */
const CUTS: readonly (readonly [
  name: string,
  request: string,
  response: string,
  how: 'fin' | 'reset',
  told: string
])[] = [
  ['a counted body', HEAD_11, 'Content-Length: 10\r\n\r\nabc', 'fin', 'short'],
  ['a counted body', HEAD_11, 'Content-Length: 10\r\n\r\nabc', 'reset', 'short'],
  ['a chunked body', HEAD_11, 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'fin', 'no last chunk'],
  ['a chunked body', HEAD_11, 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'reset', 'no last chunk'],
  ['a chunked body within a chunk', HEAD_11, 'Transfer-Encoding: chunked\r\n\r\n5\r\nabc', 'fin', 'no last chunk'],
  [
    'a chunked body before its last line',
    HEAD_11,
    'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n',
    'fin',
    'no last chunk'
  ],
  ['a body until close', HEAD_11, 'A: b\r\n\r\nabc', 'reset', 'no last chunk'],
  ['a counted body for HTTP/1.0', HEAD_10, 'Content-Length: 10\r\n\r\nabc', 'fin', 'short'],
  ['a chunked body for HTTP/1.0', HEAD_10, 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'fin', 'reset'],
  ['a chunked body for HTTP/1.0', HEAD_10, 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'reset', 'reset'],
  ['a body until close for HTTP/1.0', HEAD_10, 'A: b\r\n\r\nabc', 'reset', 'reset']
]

for (const [name, request, response, how, told] of CUTS) {
  proxyTest(t, `${name} that the upstream cuts by ${how} is told by: ${told}`, {}, async (t, f) => {
    const client = await f.client(request)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    wire.send(`HTTP/1.1 200 OK\r\n${response}`)
    await client.until('abc')
    if (how === 'fin') wire.fin()
    else wire.reset()
    const { text, ending } = await client.end()
    if (told === 'reset') t.equal(ending, 'reset')
    else t.notMatch(text, /\r\n0\r\n\r\n$/)
    if (told === 'short') t.match(text, /Content-Length: 10\r\n[^]*abc$/)
    const [outcome] = await f.outcomes(1)
    t.equal(outcome, how === 'fin' ? 'upstream-truncated' : 'upstream-reset')
    t.equal(f.failures.length, 0, 'nothing is retried once a byte has gone to the client')
  })

  proxyTest(t, `${name}, if it is not cut, is told to be whole (twin of ${how})`, {}, async (t, f) => {
    const client = await f.client(request)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    wire.send(`HTTP/1.1 200 OK\r\n${response}`)
    await client.until('abc')
    const rest = response.startsWith('Content') ? '1234567' : response.endsWith('0\r\n') ? '\r\n' : '0\r\n\r\n'
    wire.send(response.endsWith('5\r\nabc') ? `12\r\n${rest}` : rest)
    wire.fin()
    client.send('')
    if (request === HEAD_10) {
      const { ending } = await client.end()
      t.equal(ending, 'fin')
    } else await client.until(response.startsWith('Content') ? '1234567' : '0\r\n\r\n')
    t.same(await f.outcomes(1), ['ok'])
  })
}

proxyTest(
  t,
  'an upstream that ends before a response is a failed attempt, whatever had come of its head',
  {},
  async (t, f) => {
    for (const begun of ['', 'HTTP/1.1 200 OK\r\nA: ']) {
      for (const how of ['fin', 'reset'] as const) {
        const client = await f.client('POST / HTTP/1.1\r\nHost: a\r\n\r\n')
        const wire = await f.upstream.accept()
        await wire.until('\r\n\r\n')
        if (begun !== '') await wire.flush(begun)
        wire[how]()
        t.match(await client.until('failed: '), /^HTTP\/1.1 502 /)
      }
    }
    t.same(
      f.failures.map(failure => failure.kind),
      ['closed', 'reset', 'closed', 'reset']
    )
  }
)

proxyTest(t, 'an upstream that ends while the request body is still coming is a failed attempt', {}, async (t, f) => {
  const client = await f.client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
  const wire = await f.upstream.accept()
  await wire.until('abc')
  wire.socket.destroy()
  const { text } = await client.end()
  t.match(text, /^HTTP\/1.1 502 [^]*Connection: close/)
  t.match(f.failures, [{ replayable: false }])
})
