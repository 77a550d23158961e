import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import t from 'tap'
import { endOf, startCli } from './run-cli.ts'

const old = olderNode()
const skip = old === undefined ? 'this machine has no Node older than 24' : false

t.test('an older Node hands over to the pinned one', { skip }, async t => {
  const result = await endOf(startCli(['--version'], { node: old ?? '' }))
  t.match(result, { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
})

t.test('the exit code of the pinned one comes through', { skip }, async t => {
  t.equal((await endOf(startCli(['frobnicate'], { node: old ?? '' }))).code, 2)
})

t.test('a signal to the older one ends what the pinned one runs, cleanly', { skip }, async t => {
  const child = startCli(['gateway', '--port', '0', '--admin-port', '0', '--redis-url', 'redis://127.0.0.1:1'], {
    node: old ?? ''
  })
  if (child.stderr === null) throw new Error('no stderr')
  let seen = ''
  for await (const chunk of child.stderr.iterator({ destroyOnReturn: false })) {
    seen += String(chunk)
    if (seen.includes('"listening"')) break
  }
  child.stderr.resume()
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  t.strictSame(await exit, [0, null])
})

// `npm test` puts the pinned Node first; another one may stand behind it.
function olderNode(): string | undefined {
  const candidates = (process.env['PATH'] ?? '').split(delimiter).map(folder => join(folder, 'node'))
  return candidates.filter(existsSync).find(file => {
    const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' })
    const major = Number(/^v(\d+)\./.exec(stdout)?.[1])
    return major >= 18 && major < 24
  })
}
