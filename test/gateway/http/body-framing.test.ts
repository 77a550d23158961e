import t from 'tap'

import { BodyFraming, FRAMING } from '../../../gateway/http/body-framing.ts'
import { requestFieldTable } from '../../../gateway/http/field-table.ts'
import { verdictName } from '../../fixtures/head-parsers.ts'

const fields = requestFieldTable({ captured: ['x-sandbox-id'], stripped: ['x-secret'] })

function chunked(): BodyFraming {
  const framing = new BodyFraming(fields)
  framing.begin(FRAMING.chunked, 0)
  return framing
}

/** Feeds a text whole; gives the verdict and how much of it was taken. */
function consume(text: string): string {
  const framing = chunked()
  const bytes = Buffer.from(text, 'latin1')
  const stop = framing.consume(bytes, 0, bytes.length)
  if (stop < 0) return verdictName(stop)
  return framing.done ? `done ${stop}` : `open ${stop}`
}

/** Feeds a text in two parts, as two reads; gives the same verdict as `consume`. */
function consumeSplit(text: string, at: number): string {
  const framing = chunked()
  let taken = 0
  for (const part of [text.slice(0, at), text.slice(at)]) {
    if (framing.done) break
    const bytes = Buffer.from(part, 'latin1')
    const stop = framing.consume(bytes, 0, bytes.length)
    if (stop < 0) return verdictName(stop)
    taken += stop
  }
  return framing.done ? `done ${taken}` : `open ${taken}`
}

const GOOD: readonly string[] = [
  '0\r\n\r\n',
  '5\r\nhello\r\n0\r\n\r\n',
  '0005\r\nhello\r\n00\r\n\r\n',
  'A\r\n0123456789\r\na\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n',
  '5;a\r\nhello\r\n0;b=c\r\n\r\n',
  '5;a=b;c="d \\" ; e";f\r\nhello\r\n0\r\n\r\n',
  '5\r\nhello\r\n0\r\nX-Sum: abc\r\nB:\r\n\r\n',
  '1\r\n\n\r\n0\r\n\r\n'
]

const BAD: readonly (readonly [error: string, bad: string, twin: string])[] = [
  ['badChunkSize', '\r\nhello', GOOD[1]!],
  ['badChunkSize', 'x\r\n', GOOD[1]!],
  ['badChunkSize', '+5\r\nhello\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkSize', '-5\r\nhello\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkSize', '0x5\r\nhello\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkSize', ' 5\r\nhello\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkSize', '5 \r\nhello\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkSize', '5\nhello\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkSize', '5 ;a\r\nhello\r\n0\r\n\r\n', GOOD[4]!],
  ['badChunkSize', `${'0'.repeat(13)}5\r\nhello\r\n0\r\n\r\n`, `${'0'.repeat(12)}5\r\nhello\r\n0\r\n\r\n`],
  ['badChunkSize', 'ffffffffffffffff\r\n', '5\r\nhello\r\n0\r\n\r\n'],
  ['badChunkExtension', '5;\nhello', GOOD[4]!],
  ['badChunkExtension', '5;\r\nhello\r\n0\r\n\r\n', GOOD[4]!],
  ['badChunkExtension', '5;a;\r\nhello\r\n0\r\n\r\n', GOOD[4]!],
  ['badChunkExtension', '5;=b\r\nhello\r\n0\r\n\r\n', GOOD[4]!],
  ['badChunkExtension', '5;a\nhello\r\n', GOOD[4]!],
  ['badChunkExtension', '5;a=\r\nhello\r\n', GOOD[4]!],
  ['badChunkExtension', '5;a=b c\r\nhello\r\n', GOOD[4]!],
  ['badChunkExtension', '5;a="b\nc"\r\nhello\r\n', GOOD[5]!],
  ['badChunkExtension', '5;a="b\r\nhello\r\n', GOOD[5]!],
  ['badChunkExtension', '5;a="b"c\r\nhello\r\n', GOOD[5]!],
  ['badChunkExtension', '5;a="\\\r\nhello\r\n', GOOD[5]!],
  ['badChunkExtension', `5;${'a'.repeat(5000)}\r\nhello\r\n0\r\n\r\n`, `5;${'a'.repeat(4000)}\r\nhello\r\n0\r\n\r\n`],
  ['badChunkEnd', '5\rhello', GOOD[1]!],
  ['badChunkEnd', '5\r\nhello!\r\n0\r\n\r\n', GOOD[1]!],
  ['badChunkEnd', '5\r\nhello\n0\r\n\r\n', GOOD[1]!],
  ['badChunkEnd', '5\r\nhello\r0\r\n\r\n', GOOD[1]!],
  ['badTrailer', '0\r\n\n', GOOD[0]!],
  ['badTrailer', '0\r\n\rX', GOOD[0]!],
  ['badTrailer', '0\r\n A: b\r\n\r\n', GOOD[6]!],
  ['badTrailer', '0\r\nA : b\r\n\r\n', GOOD[6]!],
  ['badTrailer', '0\r\n: b\r\n\r\n', GOOD[6]!],
  ['badTrailer', '0\r\nA: b\n\r\n', GOOD[6]!],
  ['badTrailer', '0\r\nA: b\x00\r\n\r\n', GOOD[6]!],
  ['badTrailer', '0\r\nA: b\rC: d\r\n\r\n', GOOD[6]!],
  ['badTrailer', '0\r\nContent-Length: 5\r\n\r\n', '0\r\nContent-Size: 5\r\n\r\n'],
  ['badTrailer', '0\r\ntransfer-encoding: chunked\r\n\r\n', '0\r\nencoding: chunked\r\n\r\n'],
  ['badTrailer', '0\r\nHost: a\r\n\r\n', '0\r\nHosts: a\r\n\r\n'],
  ['badTrailer', '0\r\nX-Sandbox-Id: a\r\n\r\n', '0\r\nX-Sandbox: a\r\n\r\n'],
  ['badTrailer', '0\r\nX-Secret: a\r\n\r\n', '0\r\nX-Secrets: a\r\n\r\n'],
  ['trailersTooLarge', `0\r\nA: ${'b'.repeat(9000)}\r\n\r\n`, `0\r\nA: ${'b'.repeat(8000)}\r\n\r\n`]
]

t.test('a chunked body ends where it ends, wherever it is split', async t => {
  for (const text of GOOD) {
    const expected = `done ${text.length}`
    t.equal(consume(text), expected, JSON.stringify(text))
    t.equal(consume(`${text}GET / HTTP/1.1`), expected, 'what follows is not taken')
    const splits = Array.from({ length: text.length }, (_, at) => consumeSplit(`${text}next`, at))
    t.ok(
      splits.every(result => result === expected),
      'split at every offset'
    )
  }
})

t.test('every malformed chunk is refused for its reason, wherever it is split; its twin is taken', async t => {
  for (const [error, bad, twin] of BAD) {
    t.equal(consume(bad), error, JSON.stringify(bad.slice(0, 60)))
    t.equal(consume(twin), `done ${twin.length}`, `twin ${JSON.stringify(twin.slice(0, 60))}`)
    const splits = Array.from({ length: Math.min(bad.length, 100) }, (_, at) => consumeSplit(bad, at))
    t.ok(
      splits.every(result => result === error),
      'split at every offset'
    )
  }
})

t.test('an unfinished chunked body stays open', async t => {
  const text = '5\r\nhello\r\n0\r\nA: b\r\n\r\n'
  for (let end = 0; end < text.length; end++) t.equal(consume(text.slice(0, end)), `open ${end}`)
})

t.test('decode gives the data without its framing', async t => {
  const text = '5;x\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n'
  for (let at = 0; at <= text.length; at++) {
    const framing = chunked()
    let data = ''
    for (const part of [text.slice(0, at), text.slice(at)]) {
      const bytes = Buffer.from(part)
      const ranges: number[] = []
      if (!framing.done) framing.decode(bytes, 0, bytes.length, ranges)
      for (let i = 0; i < ranges.length; i += 2) data += bytes.toString('latin1', ranges[i], ranges[i + 1])
    }
    if (data !== 'hello world' || !framing.done) t.fail(`split at ${at}: ${data}`)
  }
  t.pass('at every split')
})

t.test('a counted body takes its bytes and no more', async t => {
  const framing = new BodyFraming(fields)
  framing.begin(FRAMING.length, 5)
  const bytes = Buffer.from('..helloGET')
  t.equal(framing.consume(bytes, 2, 4), 4)
  t.notOk(framing.done)
  t.equal(framing.consume(bytes, 4, 10), 7)
  t.ok(framing.done)
  framing.begin(FRAMING.length, 0)
  t.ok(framing.done, 'a body of no bytes is done at once')
  framing.begin(FRAMING.none, 0)
  t.ok(framing.done)
  t.equal(framing.consume(bytes, 2, 10), 2)
})

t.test('a body until the close is never done', async t => {
  const framing = new BodyFraming(fields)
  framing.begin(FRAMING.untilClose, 0)
  t.equal(framing.consume(Buffer.from('abc'), 0, 3), 3)
  t.notOk(framing.done)
})

t.test('a second body begins afresh', async t => {
  const framing = chunked()
  const first = Buffer.from(`5;${'a'.repeat(4000)}\r\nhello\r\n0\r\nA: ${'b'.repeat(8000)}\r\n\r\n`)
  for (let round = 0; round < 3; round++) {
    framing.begin(FRAMING.chunked, 0)
    t.equal(framing.consume(first, 0, first.length), first.length)
    t.ok(framing.done)
  }
})
