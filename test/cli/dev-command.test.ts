import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { tryCommands } from '../../cli/dev/welcome.ts'
import { Dev, allGone, descendants } from './dev-harness.ts'
import { runCli } from './run-cli.ts'

const run = promisify(execFile)

t.test('sessions and pods can be looked at, made and deleted from the command line', async t => {
  const dev = new Dev(t)
  const ready = await dev.ready()
  const cli = async (...args: string[]) => dev.cli(ready, ...args)

  t.match(await cli('pods'), { code: 0, stdout: /^id .*\npod-1 .*\npod-2 .*\npod-3 / })
  const pods = JSON.parse((await cli('pods', '--json')).stdout) as { pid: number }[]
  t.strictSame(new Set(pods.map(pod => pod.pid)), new Set(ready.pods.map(pod => pod.pid)))

  t.match(await cli('sessions'), { code: 0, stdout: 'no sessions\n' })
  t.match(await cli('sessions', 'create', '--id', 'hello'), { code: 0, stdout: 'hello\n' })
  t.match(await cli('sessions', 'create', '--id', 'hello'), { code: 1, stderr: /409/ })
  t.match(await cli('sessions', 'create'), { code: 0, stdout: /^[a-z2-7]{24}\n$/ })
  t.match(await cli('sessions'), { code: 0, stdout: /^id .*\n(.*\n)?hello +shell +active +pod-\d +1 / })
  t.equal((await cli('sessions', 'list', '--json')).stdout.trimEnd().split('\n').length, 2)
  t.match(await cli('sessions', 'show', 'hello'), { code: 0, stdout: /^epoch +1$/m })
  t.match(JSON.parse((await cli('sessions', 'show', 'hello', '--json')).stdout), {
    instanceId: 'hello',
    owner: { memberId: /^pod-/ }
  })
  t.match(await cli('sessions', 'delete', 'hello'), { code: 0, stdout: '' })
  t.match(await cli('sessions', 'show', 'hello'), { code: 1, stderr: /404/ })
})

t.test('the three commands of the welcome work when pasted', async t => {
  const dev = new Dev(t)
  const { url } = await dev.ready()
  const [create, execute, killAndGoOn] = tryCommands(url)
  t.match(JSON.parse((await run('sh', ['-c', create])).stdout), { instanceId: 'hello' })
  const written = JSON.parse((await run('sh', ['-c', execute])).stdout) as { stdout: string; exit_code: number }
  t.equal(written.exit_code, 0)
  t.match(written.stdout, /\d\d:\d\d/)
  const { stdout } = await run('sh', ['-c', killAndGoOn])
  t.equal((JSON.parse(stdout) as { stdout: string }).stdout, written.stdout, 'the file survived its pod')
  t.match(await dev.event('died'), { name: /^pod-/, how: 'SIGKILL', restartInMs: 1000 })
})

t.test('a pod that dies is back after a second', async t => {
  const dev = new Dev(t)
  const { pods } = await dev.ready()
  const pid = pods[1]?.pid ?? 0
  process.kill(pid, 'SIGKILL')
  t.match(await dev.event('died', 'pod-2'), { pid, how: 'SIGKILL', restartInMs: 1000 })
  t.not((await dev.event('back', 'pod-2'))['pid'], pid)
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  t.test(`${signal} ends it with 0 and leaves nothing behind`, async t => {
    const dev = new Dev(t, ['--pods', '2'])
    const { data } = await dev.ready()
    const pids = await descendants(dev.child.pid ?? 0)
    t.equal(pids.length, 4, 'redis, gateway, two pods')
    t.ok(existsSync(data))
    dev.child.kill(signal)
    t.strictSame(await dev.exit(), [0, null])
    t.ok(await allGone(pids, 100))
    t.notOk(existsSync(data))
  })
}

t.test('a frozen child does not keep it from ending', async t => {
  const dev = new Dev(t, ['--pods', '1'])
  const { pods, data } = await dev.ready()
  const pids = await descendants(dev.child.pid ?? 0)
  process.kill(pods[0]?.pid ?? 0, 'SIGSTOP')
  dev.child.kill('SIGINT')
  t.strictSame(await dev.exit(), [0, null])
  t.ok(await allGone(pids, 100))
  t.notOk(existsSync(data))
})

t.test('a second signal ends it at once', async t => {
  const dev = new Dev(t, ['--pods', '1'])
  const { pods, data } = await dev.ready()
  const pids = await descendants(dev.child.pid ?? 0)
  process.kill(pods[0]?.pid ?? 0, 'SIGSTOP')
  const before = performance.now()
  dev.child.kill('SIGINT')
  dev.child.kill('SIGTERM')
  t.strictSame(await dev.exit(), [1, null])
  t.ok(performance.now() - before < 3000)
  t.ok(await allGone(pids, 1000))
  t.notOk(existsSync(data))
})

t.test('when it is killed itself, its children end too', async t => {
  const dev = new Dev(t, ['--pods', '2', '--data', t.testdir()])
  await dev.ready()
  const pids = await descendants(dev.child.pid ?? 0)
  t.equal(pids.length, 4)
  dev.child.kill('SIGKILL')
  t.ok(await allGone(pids, 10_000))
})

t.test('a given data directory is kept, and its sessions go on in the next run', async t => {
  const data = t.testdir()
  const first = new Dev(t, ['--pods', '1', '--data', data])
  const before = await first.ready()
  await first.cli(before, 'sessions', 'create', '--id', 'hello')
  const [, execute] = tryCommands(before.url)
  const written = JSON.parse((await run('sh', ['-c', execute])).stdout) as { stdout: string }
  first.child.kill('SIGTERM')
  t.strictSame(await first.exit(), [0, null])
  t.ok(readdirSync(join(data, 'logs')).includes('gateway.log'))

  const second = new Dev(t, ['--pods', '1', '--data', data])
  const { url } = await second.ready()
  const answer = await fetch(`${url}/download/note.txt`, { headers: { 'x-sandbox-id': 'hello' } })
  t.equal(await answer.text(), written.stdout)
})

t.test('a data directory that another dev uses is left alone', async t => {
  const data = t.testdir()
  const first = new Dev(t, ['--pods', '1', '--data', data])
  await first.ready()
  const redisLog = join(data, 'logs', 'redis.log')
  const before = readFileSync(redisLog, 'utf8')
  const second = await runCli(['dev', '--port', '0', '--admin-port', '0', '--data', data])
  t.match(second, { code: 1, stdout: '', stderr: /^fairlead: --data: .*process \d+ uses it/ })
  t.equal(readFileSync(redisLog, 'utf8'), before, 'no second Redis has touched its data')
})

t.test('a port that is taken is named, with the flag that chooses another', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  for (const flag of ['--port', '--admin-port']) {
    const args = ['dev', '--port', '0', '--admin-port', '0', flag, String(port)]
    t.match(await runCli(args), {
      code: 1,
      stdout: '',
      stderr: `fairlead: port ${port} is taken by another program; choose another with ${flag} <port>`
    })
  }
})
