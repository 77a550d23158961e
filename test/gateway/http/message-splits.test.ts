import t from 'tap'

import { type ProxyFixture, proxyTest } from '../../fixtures/proxy-fixture.ts'
import type { WireSocket } from '../../fixtures/wire-socket.ts'

const REQUESTS = [
  'GET /1 HTTP/1.1\r\nHost: a\r\nConnection: x\r\nX: y\r\nKeep: z\r\n\r\n',
  'POST /2 HTTP/1.1\r\nContent-Length: 11\r\nHost: a\r\n\r\nhello world',
  'POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: z\r\n\r\n',
  'OPTIONS http://h?q HTTP/1.1\r\nHost: a\r\n\r\n'
]

const RESPONSES = [
  'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: x\r\nX: y\r\n\r\nhello world',
  'HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: z\r\n\r\n',
  'HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n'
]

const MARK = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmark'

/** One request and one response over kept connections, in the given parts; gives what each side received. */
async function pass(
  f: ProxyFixture,
  client: WireSocket,
  parts: readonly string[],
  answers: readonly string[]
): Promise<string> {
  const whole = parts.join('')
  for (const part of parts) {
    await client.flush(part)
    await new Promise(setImmediate)
  }
  const wire = f.upstream.sockets[0] ?? (await f.upstream.accept())
  const body = whole.slice(whole.indexOf('\r\n\r\n') + 4)
  await wire.until(text => text.endsWith(`\r\n\r\n${body}`))
  for (const answer of answers) {
    await wire.flush(answer)
    await new Promise(setImmediate)
  }
  const expected = answers.join('')
  const rest = expected.slice(expected.lastIndexOf('HTTP/1.1'))
  await client.until(text => text.endsWith(rest.slice(rest.indexOf('\r\n\r\n'))))
  const address = new RegExp(`127\\.0\\.0\\.1:${f.upstream.port}`, 'g')
  return `${wire.take().toString('latin1').replace(address, 'upstream')}|${client.take().toString('latin1')}`
}

proxyTest(t, 'requests split at every offset reach the upstream like those in one piece', {}, async (t, f) => {
  const client = await f.client()
  for (const request of REQUESTS) {
    const expected = await pass(f, client, [request], [MARK])
    let wrong = 0
    for (let at = 1; at < request.length; at++) {
      if ((await pass(f, client, [request.slice(0, at), request.slice(at)], [MARK])) !== expected) wrong++
    }
    t.equal(wrong, 0, JSON.stringify(request))
    t.equal(await pass(f, client, request.split(''), [MARK]), expected, 'and byte by byte')
  }
  t.equal(f.upstream.sockets.length, 1)
})

proxyTest(t, 'responses split at every offset reach the client like those in one piece', {}, async (t, f) => {
  const client = await f.client()
  const [request] = REQUESTS
  for (const response of RESPONSES) {
    const expected = await pass(f, client, [request!], [response])
    let wrong = 0
    for (let at = 1; at < response.length; at++) {
      if ((await pass(f, client, [request!], [response.slice(0, at), response.slice(at)])) !== expected) wrong++
    }
    t.equal(wrong, 0, JSON.stringify(response))
    t.equal(await pass(f, client, [request!], response.split('')), expected, 'and byte by byte')
  }
  t.equal(f.upstream.sockets.length, 1)
})
