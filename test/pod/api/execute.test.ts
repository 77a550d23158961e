import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { as, makeGround, run, until } from '../fixtures/ground.ts'

const ground = await makeGround(t)
const pod = await ground.pod('one', { execTimeoutSeconds: 1, maxOutput: 1024, maxRequest: '1Ki', bodyTimeout: '300ms' })
const session = await ground.create(pod, 'alice')

t.test('answers stdout, stderr and exit_code, and nothing else', async t => {
  t.same(await run(pod, session, `sh -c "echo out; echo err >&2; exit 3"`), {
    stdout: 'out\n',
    stderr: 'err\n',
    exit_code: 3
  })
})

t.test('no shell reads the command', async t => {
  t.same(await run(pod, session, `echo $HOME '*' > x; true`), {
    stdout: '$HOME * > x; true\n',
    stderr: '',
    exit_code: 0
  })
})

for (const command of ['no-such-program', `echo 'open`, '', '   ', '/']) {
  t.test(`cannot start ${JSON.stringify(command)}: 200, exit code 1, the reason in stderr`, async t => {
    const ran = await run(pod, session, command)
    t.match(ran, { stdout: '', stderr: /^fairlead: cannot start|^fairlead: the command is empty/, exit_code: 1 })
  })
}

t.test('the time limit: exit code 124, what was written so far, and a word about it', async t => {
  const ran = await run(pod, session, `sh -c "echo begun; sleep 30"`)
  t.same(ran, { stdout: 'begun\n', stderr: 'fairlead: killed: it ran longer than 1s', exit_code: 124 })
})

t.test('output beyond the limit is dropped, and stderr says so; the command goes on', async t => {
  const ran = await run(pod, session, `sh -c "head -c 3000 /dev/zero | tr '\\\\0' x; echo done > after"`)
  t.equal(ran.exit_code, 0)
  t.equal(ran.stdout, 'x'.repeat(1024))
  t.equal(ran.stderr, 'fairlead: stdout was cut, 1976 more bytes were dropped')
  t.equal((await run(pod, session, 'cat after')).stdout, 'done\n')
})

t.test('a command that removes the directory of its session leaves an empty one', async t => {
  const victim = await ground.create(pod, 'victim')
  t.equal((await run(pod, victim, `sh -c 'echo x > file; rm -rf "$SANDBOX_BASE_DIR"'`)).exit_code, 0)
  t.same(await run(pod, victim, `sh -c 'ls; echo y > file; cat file'`), { stdout: 'y\n', stderr: '', exit_code: 0 })
  const suspended = await as(pod, victim, 'POST /instances/victim/suspend')
  t.equal(suspended.status, 204)
  const store = await readFile(join(ground.filesOf('one', 'victim'), 'file'), 'utf8')
  t.equal(store, 'y\n')
})

t.test('bytes that are not UTF-8 become replacement characters', async t => {
  t.equal((await run(pod, session, `printf 'a\\377b\\303\\244'`)).stdout, 'a\ufffdbä')
})

for (const [body, status] of [
  ['{', 400],
  ['[]', 400],
  ['{}', 400],
  ['{"command":1}', 400],
  ['', 400],
  [`{"command":"${'x'.repeat(2000)}"}`, 413]
] as const) {
  t.test(`${status} for the body ${body.slice(0, 20)}`, async t => {
    const answer = await as(pod, session, 'POST /execute', { body })
    t.equal(answer.status, status)
    t.match(answer.json(), { detail: /./ })
  })
}

t.test('a client that leaves takes its command with it', async t => {
  const leave = new AbortController()
  const asking = as(pod, session, 'POST /execute', {
    body: { command: `sh -c 'echo $$ > leaving; sleep 31'` },
    signal: leave.signal
  })
  asking.catch(() => undefined)
  const file = join(ground.filesOf('one', 'alice'), 'leaving')
  await until('it runs', async () => (await readFile(file, 'utf8').catch(() => '')).endsWith('\n'))
  leave.abort()
  await t.rejects(asking)
  const pid = (await readFile(file, 'utf8')).trim()
  await until('it is gone', async () => {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    return stat === '' || / [ZX] /.test(stat)
  })
})

t.test('only port 8888 is served', async t => {
  const ask = (port: string) =>
    as(pod, session, 'POST /execute', { headers: { 'x-sandbox-port': port }, body: { command: 'true' } })
  t.equal((await ask('8888')).status, 200)
  t.equal((await ask('')).status, 200)
  const other = await ask('3000')
  t.equal(other.status, 502)
  t.match(other.json(), { detail: /^Port 3000 is not served/ })
  for (const bad of ['0', 'x', '65536', '80,80']) t.equal((await ask(bad)).status, 400, bad)
})
