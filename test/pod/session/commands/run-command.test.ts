import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { commandEnvironment } from '../../../../pod/session/commands/environment.ts'
import { plainRunner } from '../../../../pod/session/commands/plain-runner.ts'
import { runCommand } from '../../../../pod/session/commands/run-command.ts'
import type { CommandOutcome, RunOptions } from '../../../../pod/session/commands/run-command.ts'
import { until } from '../../fixtures/ground.ts'

const directory = await mkdtemp(join(tmpdir(), 'fairlead-run-'))
t.teardown(() => rm(directory, { recursive: true, force: true }))

interface Ran extends CommandOutcome {
  stdout: string
  stderr: string
}

async function run(argv: readonly string[], options: Partial<RunOptions> = {}): Promise<Ran> {
  const output = { stdout: '', stderr: '' }
  const outcome = await runCommand({
    runner: plainRunner,
    spec: { argv, directory, env: commandEnvironment({ id: 'test', directory, path: '/usr/bin:/bin' }) },
    timeoutMs: 10_000,
    maxOutputBytes: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
    onOutput: (name, chunk) => {
      output[name] += chunk.toString()
    },
    ...options
  })
  return { ...outcome, ...output }
}

const sh = (script: string, options: Partial<RunOptions> = {}): Promise<Ran> => run(['sh', '-c', script], options)

/** Tells whether a process runs; one that is dead and not waited for yet does not. */
async function runs(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  return stat !== '' && !/\) [ZX] /.test(stat)
}

async function pidIn(file: string): Promise<number> {
  const path = join(directory, file)
  await until(`${file} holds a pid`, async () => (await readFile(path, 'utf8').catch(() => '')).endsWith('\n'))
  return Number(await readFile(path, 'utf8'))
}

t.test('a command runs in its directory with the environment it was given and no other', async t => {
  process.env['FAIRLEAD_TEST_SECRET'] = 'x'
  // A value may hold line feeds: each variable is made one line.
  const ran = await sh(String.raw`pwd; env -0 | tr '\n\0' ' \n' | sort`)
  t.equal(ran.exitCode, 0)
  // What the test runner puts into every process that Node starts is not ours.
  const isOurs = (line: string): boolean => !/^(_TAPJS_|NODE_OPTIONS=)/.test(line)
  const [pwd, ...env] = ran.stdout.trim().split('\n').filter(isOurs)
  t.equal(pwd, directory)
  t.same(
    env.map(line => line.split('=')[0]),
    ['FAIRLEAD_SESSION', 'FAIRLEAD_SESSION_DIRECTORY', 'HOME', 'LANG', 'PATH', 'PWD', 'SANDBOX_BASE_DIR']
  )
})

t.test('exit codes and signals are told', async t => {
  t.match(await sh('echo out; echo err >&2; exit 7'), {
    exitCode: 7,
    reason: 'exited',
    stdout: 'out\n',
    stderr: 'err\n'
  })
  t.match(await sh('kill -TERM $$'), { exitCode: 143, reason: 'signaled' })
})

for (const argv of [['/nonexistent/program'], ['no-such-program-here'], ['/etc/passwd'], ['true', 'a\0b'], [], ['']]) {
  t.test(`cannot start ${JSON.stringify(argv)}: exit code 1 and a reason`, async t => {
    const ran = await run(argv)
    t.equal(ran.reason, 'not-started')
    t.equal(ran.exitCode, 1)
    t.not(ran.message, '')
  })
}

t.test('the time limit kills the whole process group', async t => {
  const ran = await sh('sleep 60 & echo $! > limited; wait', { timeoutMs: 300 })
  t.match(ran, { reason: 'time-limit', exitCode: 124, message: /ran longer than 300ms/ })
  t.notOk(await runs(await pidIn('limited')))
})

t.test('what a command leaves in its group dies with it', async t => {
  const ran = await sh('sleep 60 & echo $! > left')
  t.equal(ran.exitCode, 0)
  const pid = await pidIn('left')
  await until('the child has ended', async () => !(await runs(pid)))
})

t.test('a process that left the group and holds the output does not keep the command from ending', async t => {
  const startedAtMs = performance.now()
  const ran = await sh('echo done; setsid sleep 20 & wait $!; exit 3', { timeoutMs: 500 })
  t.equal(ran.reason, 'time-limit')
  t.equal(ran.stdout, 'done\n')
  t.ok(performance.now() - startedAtMs < 5_000)
  t.ok((await plainRunner.sweep(directory)) > 0)
})

t.test('an abort kills the group', async t => {
  const abort = new AbortController()
  const ending = sh('sleep 60 & echo $! > aborted; wait', { signal: abort.signal })
  const pid = await pidIn('aborted')
  abort.abort()
  t.match(await ending, { reason: 'aborted', exitCode: 137 })
  await until('the child has ended', async () => !(await runs(pid)))
})

t.test('a signal that has aborted already starts nothing that lasts', async t => {
  t.match(await sh('sleep 60', { signal: AbortSignal.abort() }), { reason: 'aborted' })
})

t.test('the output limit ends a command that never stops writing', async t => {
  const ran = await run(['yes'], { maxOutputBytes: 100_000 })
  t.match(ran, { reason: 'output-limit', exitCode: 137 })
  t.ok(ran.stdout.length <= 100_000)
})

t.test('a slow reader holds the command back and gets every byte', async t => {
  let bytes = 0
  const ran = await sh('head -c 3000000 /dev/zero', {
    onOutput: async (_, chunk) => {
      bytes += chunk.length
      // Longer than the silence after which a held pipe is closed.
      if (bytes > 2_900_000) await delay(400)
    }
  })
  t.equal(ran.exitCode, 0)
  t.equal(bytes, 3_000_000)
})

t.test('an error of whoever takes the output ends the command', async t => {
  const failing = sh('echo $$ > failing; echo x; sleep 60', { onOutput: () => Promise.reject(new Error('no')) })
  await t.rejects(failing, { message: 'no' })
  const pid = await pidIn('failing')
  await until('the command has ended', async () => !(await runs(pid)))
})

t.test('a sweep kills what carries the mark, and nothing else', async t => {
  await sh('setsid sleep 61 > /dev/null 2>&1 & echo $! > stray; sleep 0.1')
  const stray = await pidIn('stray')
  t.ok(await runs(stray))
  t.equal(await plainRunner.sweep(`${directory}x`), 0)
  t.equal(await plainRunner.sweep(directory.slice(0, -1)), 0)
  t.equal(await plainRunner.sweep(directory, { still: () => false }), 0)
  t.ok(await runs(stray))
  t.ok((await plainRunner.sweep(directory.slice(0, -1), { prefix: true })) > 0)
  await until('the stray has ended', async () => !(await runs(stray)))
})
