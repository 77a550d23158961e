import { fork } from 'node:child_process'
import { on, once } from 'node:events'
import { chmodSync, chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { workplace } from './tree.ts'

const NOBODY = 65534

t.test('what modes forbid an ordinary user', async t => {
  const base = workplace(t)
  for (const name of ['store', 'locked']) mkdirSync(join(base, name))
  const root = process.getuid?.() === 0
  if (root) for (const path of [base, join(base, 'store')]) chownSync(path, NOBODY, NOBODY)
  chmodSync(join(base, 'locked'), 0o555)
  const user = root ? { uid: NOBODY, gid: NOBODY } : {}
  const child = fork(new URL('unprivileged-child.ts', import.meta.url), [base], user)
  t.teardown(() => child.kill('SIGKILL'))
  const reports: unknown[] = []
  const closed = once(child, 'close')
  for await (const [message] of on(child, 'message', { close: ['disconnect'] })) reports.push(message)
  await closed
  const [seen, end] = reports as [Record<string, { original: unknown; copy: unknown }>, unknown]
  t.strictSame(seen['closed']?.copy, seen['closed']?.original, 'read-only directories are restored as such')
  t.equal(seen['cut'], 'backup-damaged')
  t.strictSame(seen['left'], [
    { path: 'sealed directory', reason: 'unreadable' },
    { path: 'never seen', reason: 'unreadable' },
    { path: 'sealed', reason: 'unreadable' }
  ])
  t.strictSame(seen['names'], ['closed', 'sealed', 'sealed directory'], 'what was readable once is kept')
  t.equal(seen['locked'], 'store-read-only')
  t.strictSame(seen['around'], ['a', 'copy', 'locked', 'store'], 'a failed restore leaves nothing beside it')
  t.strictSame(end, ['locked', 'store'], 'read-only trees can be removed')
})
