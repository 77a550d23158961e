import t from 'tap'

import { proxyTest } from '../../fixtures/proxy-fixture.ts'

function get(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`
}

function ok(body: string, more = ''): string {
  return `HTTP/1.1 200 OK\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

const path = (head: string): string => head.split(' ')[1] ?? ''

proxyTest(t, '3,000 pipelined requests are answered in order over one upstream connection', {}, async (t, f) => {
  f.upstream.serve(head => ok(path(head)))
  const paths = Array.from({ length: 3000 }, (_, i) => `/${i}`)
  const client = await f.client(paths.map(each => get(each)).join(''))
  await client.until(text => text.endsWith('\r\n\r\n/2999'))
  t.equal(client.text, paths.map(each => ok(each)).join(''))
  t.equal(f.upstream.sockets.length, 1)
  t.equal(f.finished.length, 3000)
})

proxyTest(
  t,
  '3,000 pipelined requests that the proxy answers itself are answered in order',
  { resolve: (f, head) => f.answer(200, head.path) },
  async (t, f) => {
    const client = await f.client(Array.from({ length: 3000 }, (_, i) => get(`/${i}`)).join(''))
    await client.until(text => text.endsWith('\r\n\r\n/2999'))
    t.same(
      client.text.match(/\r\n\r\n\/\d+/g)?.map(each => Number(each.slice(5))),
      Array.from({ length: 3000 }, (_, i) => i)
    )
  }
)

proxyTest(
  t,
  'answers of a promise, of the proxy and of upstreams keep the order of the requests',
  {
    resolve: (f, head) => {
      const kind = Number(head.path.slice(1)) % 3
      if (kind === 0) return f.route()
      const answer = f.answer(200, head.path)
      return kind === 1 ? answer : Promise.resolve(answer)
    }
  },
  async (t, f) => {
    f.upstream.serve(head => ok(path(head)))
    const client = await f.client(Array.from({ length: 300 }, (_, i) => get(`/${i}`)).join(''))
    await client.until(text => text.endsWith('\r\n\r\n/299'))
    t.same(
      client.text.match(/\r\n\r\n\/\d+/g)?.map(each => Number(each.slice(5))),
      Array.from({ length: 300 }, (_, i) => i)
    )
  }
)

proxyTest(t, 'requests behind a slow one wait for it', {}, async (t, f) => {
  const client = await f.client(get('/slow') + get('/2'))
  const wire = await f.upstream.accept()
  await wire.until('/slow')
  client.send(get('/3'))
  await new Promise(resolve => setTimeout(resolve, 30))
  t.notMatch(f.upstream.received, /GET \/[23]/, 'none is sent before its turn')
  wire.send(ok('first'))
  await wire.until('GET /2')
  wire.send(ok('second'))
  await wire.until('GET /3')
  wire.send(ok('third'))
  await client.until('third')
  t.equal(client.text, ok('first') + ok('second') + ok('third'))
})

proxyTest(t, 'a large body pipelined behind a slow request arrives whole', {}, async (t, f) => {
  const body = Buffer.alloc(200_000, 'abcdefghij')
  const client = await f.client(get('/slow'))
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.take()
  client.send(`POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`)
  await client.flush(body.subarray(0, 60_000))
  await new Promise(resolve => setTimeout(resolve, 30))
  client.send(body.subarray(60_000))
  client.send(get('/last'))
  await new Promise(resolve => setTimeout(resolve, 30))
  wire.send(ok('slow'))
  await wire.until('\r\n\r\n')
  const head = wire.text.indexOf('\r\n\r\n') + 4
  await wire.atLeast(head + body.length)
  t.ok(wire.bytes.subarray(head, head + body.length).equals(body))
  wire.send(ok('big'))
  await wire.until('GET /last')
  wire.send(ok('last'))
  await client.until('last')
})

proxyTest(t, 'what is pipelined behind Connection: close is not served', {}, async (t, f) => {
  f.upstream.serve(head => ok(path(head)))
  const { text, ending } = await f.ask(get('/1', 'Connection: close\r\n') + get('/2'))
  t.match(text, /^HTTP\/1.1 200 OK\r\n[^]*Connection: close\r\n\r\n\/1$/)
  t.equal(ending, 'fin')
  t.notMatch(f.upstream.received, '/2')
})

proxyTest(t, 'a bad request behind good ones is refused after they are answered', {}, async (t, f) => {
  f.upstream.serve(head => ok(path(head)))
  const { text } = await f.ask(`${get('/1')}${get('/2')}BAD\x00\r\n\r\n${get('/3')}`)
  t.match(text, /\/1HTTP\/1.1 200 OK[^]*\/2HTTP\/1.1 400 [^]*Connection: close/)
  t.notMatch(f.upstream.received, '/3')
})

proxyTest(t, 'a client that sends requests and reads nothing is not served without end', {}, async (t, f) => {
  const body = 'x'.repeat(20_000)
  f.upstream.serve(() => ok(body))
  const client = await f.client()
  client.socket.pause()
  const batch = get('/').repeat(200)
  for (let i = 0; i < 25; i++) client.send(batch)
  let last = -1
  while (last !== f.finished.length) {
    last = f.finished.length
    await new Promise(resolve => setTimeout(resolve, 150))
  }
  t.ok(last < 2000, `${last} of 5,000 served`)
  client.reset()
})
