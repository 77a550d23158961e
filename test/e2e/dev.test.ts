import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { allGone, descendants } from '../cli/dev-harness.ts'
import { CLI } from '../cli/run-cli.ts'
import { cleanEnvironment } from './fixtures/child.ts'
import { until } from './fixtures/cluster.ts'

const run = promisify(execFile)

t.test('what `fairlead dev` prints can be pasted, and Ctrl-C leaves neither process nor file', async t => {
  const temporary = await mkdtemp(join(tmpdir(), 'fairlead-dev-e2e-'))
  t.teardown(() => rm(temporary, { recursive: true, force: true }))
  const dev = spawn(process.execPath, [CLI, 'dev', '--port', '0', '--admin-port', '0'], {
    env: { ...cleanEnvironment(), TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that a signal can go to the group as a terminal sends it.
    detached: true
  })
  const exit = once(dev, 'exit')
  t.teardown(async () => {
    if (dev.exitCode === null && dev.signalCode === null) dev.kill('SIGKILL')
    await exit
  })
  let shown = ''
  for (const stream of [dev.stdout, dev.stderr]) stream.on('data', (piece: Buffer) => (shown += piece.toString()))
  await until('it is ready', () => shown.includes('Ctrl-C ends it.'), 40_000)
  t.match(shown, /^fairlead dev ready on http:\/\/127\.0\.0\.1:\d+\n/)
  const commands = shown.split('\n').filter(line => /^ +(curl|kill) /.test(line))
  t.equal(commands.length, 3)
  const [create, execute, killAndGoOn] = commands
  const paste = async (line = ''): Promise<unknown> => JSON.parse((await run('sh', ['-c', line])).stdout)
  t.same(await paste(create), { instanceId: 'hello', definitionId: 'shell', status: 'started' })
  const written = Object(await paste(execute))
  t.match(written, { stdout: /\d\d:\d\d:\d\d/, exit_code: 0 })
  t.same(await paste(killAndGoOn), { stdout: written.stdout, stderr: '', exit_code: 0 }, 'the note is still there')
  t.match(shown, /pod-\d \(pid \d+\) died: SIGKILL/)

  const pids = await descendants(dev.pid!)
  t.ok(pids.length >= 4, `${pids.length} processes`)
  t.not((await readdir(temporary)).length, 0)
  process.kill(-dev.pid!, 'SIGINT')
  const [code] = await exit
  t.equal(code, 0)
  t.ok(await allGone(pids, 5000), 'no process is left')
  t.same(await readdir(temporary), [], 'no file is left')
})
