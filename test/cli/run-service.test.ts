import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { startCli } from './run-cli.ts'

const NO_REDIS = { FAIRLEAD_REDIS_URL: 'redis://:s3cret@127.0.0.1:2' }

async function listening(child: ChildProcess): Promise<() => string> {
  if (child.stderr === null) throw new Error('no stderr')
  const { promise, resolve } = Promise.withResolvers<void>()
  let said = ''
  child.stderr.on('data', chunk => {
    said += String(chunk)
    if (said.includes('"msg":"listening"')) resolve()
  })
  await Promise.race([
    promise,
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`ended with ${code}: ${said}`)))
  ])
  return () => said
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  t.test(`${signal} drains a gateway and it exits with 0, without a registry too`, async t => {
    const child = startCli(['gateway', '--host', '127.0.0.1', '--port', '0', '--admin-port', '0'], { env: NO_REDIS })
    const exit = once(child, 'exit')
    const said = await listening(child)
    child.kill(signal)
    t.strictSame(await exit, [0, null])
    t.notMatch(said(), 's3cret', 'a password is never logged')
  })
}

t.test('SIGTERM drains a pod and it exits with 0, without a registry too', async t => {
  const directory = t.testdir()
  const args = ['pod', '--port', '0', '--data-directory', `${directory}/data`, '--store', `fs:${directory}/store`]
  const child = startCli(args, { env: NO_REDIS })
  const exit = once(child, 'exit')
  const said = await listening(child)
  child.kill('SIGTERM')
  t.strictSame(await exit, [0, null])
  t.notMatch(said(), 's3cret')
})
