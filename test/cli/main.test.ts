import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runCli } from './run-cli.ts'

t.test('--help names every command', async t => {
  const { code, stdout } = await runCli(['--help'])
  t.equal(code, 0)
  for (const name of ['dev', 'gateway', 'pod', 'pods', 'sessions', 'doctor'])
    t.match(stdout, new RegExp(`^  ${name}\\b`, 'm'))
})

t.test('the help of a command shows its options with their defaults', async t => {
  const { code, stdout } = await runCli(['pod', '--help'])
  t.equal(code, 0)
  t.match(
    stdout.replaceAll(/\s+/g, ' '),
    '--lease <duration> how long a pod owns its sessions after its last heartbeat (1s to 1h; default: 30s)'
  )
})

t.test('wrong usage exits with 2 and says what helps', async t => {
  t.match(await runCli(['frobnicate']), { code: 2, stderr: /unknown command 'frobnicate'/ })
  t.match(await runCli(['gateway', '--frobnicate']), { code: 2, stderr: /unknown option '--frobnicate'/ })
  t.match(await runCli(['dev', '--port', 'x']), { code: 2, stderr: /--port/ })
  t.match(await runCli(['sessions', 'show', '../etc']), { code: 2, stderr: /DNS label/ })
  t.match(await runCli(['pods', '--admin-url', 'localhost:9090']), { code: 2, stderr: /http:\/\// })
})

t.test('a bad configuration exits with 2 and lists all problems with their places', async t => {
  const file = join(t.testdir(), 'fairlead.yaml')
  writeFileSync(file, 'gateway:\n  prot: 1\n')
  const args = ['gateway', '--config', file, '--lease', '3x']
  const { code, stderr } = await runCli(args, { FAIRLEAD_HEARTBEAT: 'often' })
  t.equal(code, 2)
  t.match(stderr, `file ${file}: gateway.prot: unknown key`)
  t.match(stderr, 'flag --lease: expected a duration')
  t.match(stderr, 'environment FAIRLEAD_HEARTBEAT: expected a duration')
  t.match(await runCli(['pod', '--config', '/nowhere.yaml']), { code: 2, stderr: /flag --config: .*ENOENT/ })
  t.match(await runCli(['pod', '--heartbeat', '29s']), {
    code: 2,
    stderr: /heartbeat: expected at most half of the lease/
  })
})

t.test('a gateway that cannot have its port exits with 1 and names the port', async t => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  const args = ['gateway', '--host', '127.0.0.1', '--port', String(port), '--admin-port', '0', '--log-level', 'silent']
  t.match(await runCli(args), { code: 1, stderr: new RegExp(`EADDRINUSE.*${port}`) })
})

t.test('a command that finds no gateway exits with 1 and names the option', async t => {
  t.match(await runCli(['pods', '--admin-url', 'http://127.0.0.1:2']), {
    code: 1,
    stderr: /no gateway answers at http:\/\/127\.0\.0\.1:2 .*--admin-url/
  })
  t.match(await runCli(['sessions'], { FAIRLEAD_ADMIN_URL: 'http://127.0.0.1:2' }), { code: 1, stderr: /ECONNREFUSED/ })
})
