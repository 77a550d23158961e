import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { as, makeGround, until } from '../fixtures/ground.ts'
import type { Answer, CallOptions } from '../fixtures/http-call.ts'

const ground = await makeGround(t)
const pod = await ground.pod('one', { execTimeout: '2s', maxStreamOutput: '2Mi' })
const session = await ground.create(pod, 'alice')
const files = ground.filesOf('one', 'alice')

interface Line {
  type: string
  data?: string
  exitCode?: number
  reason?: string
}

function stream(command: string, options: CallOptions = {}): Promise<Answer> {
  return as(pod, session, 'POST /execute/stream', { body: { command }, ...options })
}

function lines(answer: { text: string }): Line[] {
  const rows = answer.text.split('\n')
  if (rows.pop() !== '') throw new Error('the last line is not whole')
  return rows.map(row => JSON.parse(row))
}

function joined(answer: { text: string }, type: string): string {
  return lines(answer)
    .filter(line => line.type === type)
    .map(line => line.data)
    .join('')
}

t.test('both outputs and the exit, as NDJSON', async t => {
  const answer = await stream(`sh -c "echo out; echo err >&2; exit 5"`)
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], 'application/x-ndjson')
  t.equal(answer.headers['cache-control'], 'no-cache')
  t.equal(joined(answer, 'stdout'), 'out\n')
  t.equal(joined(answer, 'stderr'), 'err\n')
  t.same(lines(answer).at(-1), { type: 'exit', exitCode: 5, reason: 'exited' })
})

t.test('a line arrives when it is written, not when the command ends', async t => {
  const seen = Promise.withResolvers<undefined>()
  const going = stream(`sh -c "echo first; while [ ! -e go ]; do sleep 0.02; done; echo second"`, {
    onData: piece => {
      if (piece.includes('first')) seen.resolve(undefined)
    }
  })
  await seen.promise
  // The command waits for this file, and this test for the first line.
  await writeFile(join(files, 'go'), '')
  t.equal(joined(await going, 'stdout'), 'first\nsecond\n')
})

t.test('characters that are split between pieces come whole', async t => {
  const text = 'ä€😀'.repeat(50_000)
  await writeFile(join(files, 'text'), text)
  const answer = await stream(`sh -c "dd if=text bs=7 2>/dev/null"`)
  t.equal(joined(answer, 'stdout'), text)
  const cut = await stream(`printf 'x\\303'`)
  t.equal(joined(cut, 'stdout'), 'x\ufffd')
})

t.test('a command that cannot start: the reason on stderr, and exit code 1', async t => {
  const answer = await stream('no-such-program')
  t.equal(answer.status, 200)
  t.match(lines(answer), [
    { type: 'stderr', data: 'cannot start no-such-program: no such program' },
    { type: 'exit', exitCode: 1, reason: 'not-started' }
  ])
})

t.test('limits end it with an exit line that says so', async t => {
  const late = await stream('sleep 30')
  t.match(lines(late).at(-1), { type: 'exit', exitCode: 124, reason: 'time-limit' })
  const much = await stream('yes')
  t.match(lines(much).at(-1), { type: 'exit', exitCode: 137, reason: 'output-limit' })
  t.ok(joined(much, 'stdout').length <= 2 * 1024 * 1024)
})

t.test('a client that leaves ends the command, and a slow one holds it back', async t => {
  const leave = new AbortController()
  const going = stream(`sh -c 'echo $$ > streaming; yes'`, { signal: leave.signal, onData: () => leave.abort() })
  await t.rejects(going)
  const pid = (await readFile(join(files, 'streaming'), 'utf8')).trim()
  await until('it is gone', async () => {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    return stat === '' || / [ZX] /.test(stat)
  })
})

t.test('a stream under which the session is deleted is cut, and has no exit line', async t => {
  const other = await ground.create(pod, 'bob')
  let text = ''
  const going = as(pod, other, 'POST /execute/stream', {
    body: { command: `sh -c "echo begun; sleep 30"` },
    onData: piece => {
      text += piece
    }
  })
  going.catch(() => undefined)
  await until('it has begun', () => text.includes('begun'))
  t.equal((await as(pod, other, 'DELETE /instances/bob')).status, 204)
  await t.rejects(going, 'the connection is cut')
  t.match(lines({ text }).at(-1), { type: 'error', code: 'session-ended' })
})
