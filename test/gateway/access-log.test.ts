import t from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../../lib/log.ts'
import { AccessLog } from '../../gateway/access-log.ts'
import { until } from './fixtures/system.ts'

const log = createLog('test', { level: 'silent' })

async function directory(t: { teardown(run: () => Promise<void>): unknown }): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'fairlead-log-'))
  t.teardown(() => rm(made, { recursive: true }))
  return made
}

t.test('lines are written soon without being asked for, and all of them at the close', async t => {
  const path = join(await directory(t), 'access.log')
  const access = await AccessLog.open(path, log)
  access.add('first\n')
  await until(async () => (await readFile(path, 'utf8')) === 'first\n')
  for (let i = 0; i < 50_000; i++) access.add(`line ${i}\n`)
  await access.close()
  await access.close()
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
  t.equal(lines.length, 50_001)
  t.equal(lines.at(-1), 'line 49999')
  t.equal(access.dropped, 0)
  access.add('too late\n')
  t.equal(access.dropped, 1)
})

t.test('a file is appended to', async t => {
  const path = join(await directory(t), 'access.log')
  for (const line of ['one\n', 'two\n']) {
    const access = await AccessLog.open(path, log)
    access.add(line)
    await access.close()
  }
  t.equal(await readFile(path, 'utf8'), 'one\ntwo\n')
})

t.test(
  'an output that takes nothing bounds the memory, drops and counts lines, and delays no close for long',
  async t => {
    const fifo = join(await directory(t), 'fifo')
    await once(spawn('mkfifo', [fifo]), 'exit')
    const reader = await open(fifo, 'r+')
    t.teardown(() => reader.close())
    const access = await AccessLog.open(fifo, log)
    const line = `${'x'.repeat(999)}\n`
    for (let i = 0; i < 20_000; i++) access.add(line)
    t.ok(access.dropped > 15_000, `${access.dropped} lines dropped`)
    t.equal(access.lines + access.dropped, 20_000)
    const startedAtMs = performance.now()
    await access.close()
    t.ok(performance.now() - startedAtMs < 3000)
    // Unblocks the write that is still under way.
    await reader.read(Buffer.alloc(65_536))
  }
)

t.test('a disk that is full drops lines, counts them and does no harm', async () => {
  const access = await AccessLog.open('/dev/full', log)
  for (let i = 0; i < 10; i++) access.add('lost\n')
  await until(() => access.dropped === 10)
  await access.close()
})
