import t from 'tap'
import { runCli } from './run-cli.ts'

t.test('every check has a result, and what is not ok says what to do', async t => {
  const { stdout } = await runCli(['doctor', '--json'])
  const findings = JSON.parse(stdout) as { check: string; result: string; found: string; fix?: string }[]
  const names = findings.map(finding => finding.check)
  for (const name of ['Node', 'redis-server', 'Redis', 'data directory', 'backup store', 'open files'])
    t.ok(names.includes(name), name)
  for (const { check, result, fix } of findings) {
    t.match(result, /^(ok|info|warn|fail)$/)
    if (result === 'warn' || result === 'fail') t.ok(fix, check)
  }
})

t.test('a Redis that was configured and does not answer fails, without its password', async t => {
  const { code, stdout } = await runCli(['doctor'], { FAIRLEAD_REDIS_URL: 'redis://:s3cret@127.0.0.1:1' })
  t.equal(code, 1)
  t.match(stdout, /^Redis +fail +no answer from redis:\/\/:\*\*\*@127\.0\.0\.1:1/m)
  t.notMatch(stdout, 's3cret')
})

t.test('a data directory that cannot be made fails', async t => {
  const { code, stdout } = await runCli(['doctor'], { FAIRLEAD_DATA_DIRECTORY: '/proc/self/stat/fairlead' })
  t.equal(code, 1)
  t.match(stdout, /^data directory +fail /m)
})
