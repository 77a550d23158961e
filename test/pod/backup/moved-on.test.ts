import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openStore } from '../../../pod/backup/open-store.ts'
import { backupOf, describeTree, restoredTree, workplace } from './tree.ts'
import type { ChildProcess } from 'node:child_process'
import type { Test } from 'tap'

interface Writer {
  readonly child: ChildProcess
  readonly saved: number[]
  readonly refused: unknown[]
}

function startWriter(test: Test, args: readonly string[]): Writer {
  const child = fork(new URL('writer-child.ts', import.meta.url), args, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc']
  })
  const writer: Writer = { child, saved: [], refused: [] }
  child.on('message', (message: { saved?: number; refused?: unknown }) => {
    if (message.saved !== undefined) writer.saved.push(message.saved)
    if (message.refused !== undefined) writer.refused.push(message.refused)
  })
  test.teardown(() => child.kill('SIGKILL'))
  return writer
}

function isStopped(pid: number): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

async function stopped(pid: number): Promise<void> {
  while (!isStopped(pid)) await sleep(5)
}

function workshop(test: Test) {
  const base = workplace(test)
  const root = join(base, 'store')
  mkdirSync(root)
  return { base, root, store: openStore(`fs:${root}`) }
}

for (const step of ['before-blob', 'after-blob', 'before-manifest', 'after-manifest', 'before-tidy'])
  t.test(`a writer frozen ${step} and woken after the session moved on changes nothing`, async t => {
    const { base, root, store } = workshop(t)
    const { child, saved, refused } = startWriter(t, [root, join(base, 'old'), '1', step])
    await stopped(child.pid ?? 0)
    const next = backupOf(store, join(base, 'new'))
    await next.open(2)
    const report = await next.restore()
    const generation = Number(readFileSync(join(base, 'new/generation'), 'utf8'))
    t.strictSame(report.skipped, [])
    t.ok(generation >= (saved.at(-1) ?? 0), 'whatever was acknowledged is there')
    writeFileSync(join(base, 'new/mine'), 'only the new owner wrote this')
    await next.save()
    const before = describeTree(join(base, 'new'))
    child.kill('SIGCONT')
    await once(child, 'exit')
    t.strictSame(refused, ['stale-epoch'])
    t.ok(Math.max(...saved) <= generation, 'nothing was acknowledged that the new owner does not have')
    t.strictSame(await restoredTree(t, root), before)
    for (const text of ['a', 'b', 'c']) {
      writeFileSync(join(base, 'new/mine'), text)
      await next.save()
    }
    await next.idle()
    t.strictSame(await restoredTree(t, root), describeTree(join(base, 'new')))
    t.strictSame(await store.epochs('s'), [2])
  })

t.test('kill -9 at any moment leaves what was acknowledged, whole', async t => {
  const { base, root } = workshop(t)
  let acknowledged = 0
  let midway = 0
  for (let epoch = 1; epoch <= 25; epoch++) {
    const writer = startWriter(t, [root, join(base, `pod${epoch}`), String(epoch)])
    await once(writer.child, 'message')
    await sleep(Math.random() * 150)
    writer.child.kill('SIGKILL')
    await once(writer.child, 'close')
    acknowledged = Math.max(acknowledged, ...writer.saved)
    const directory = join(workplace(t), 'restored')
    const report = await backupOf(openStore(`fs:${root}`), directory).restore()
    if (!report.restored) {
      t.equal(acknowledged, 0)
      continue
    }
    t.strictSame(report.skipped, [], 'nothing is damaged')
    const generation = Number(readFileSync(join(directory, 'generation'), 'utf8'))
    t.ok(generation >= acknowledged, `generation ${generation}, acknowledged ${acknowledged}`)
    t.ok(readFileSync(join(directory, 'large')).equals(Buffer.alloc(3_000_000, `${generation}`)))
    for (let file = 0; file < 8; file++)
      t.equal(
        readFileSync(join(directory, `d${generation % 3}`, `f${file}`), 'utf8'),
        `${generation}-${file}`.repeat(50 * file)
      )
    if (
      readdirSync(join(root, 'sessions/s', String(epoch).padStart(16, '0')), { recursive: true }).some(name =>
        String(name).includes('.tmp-')
      )
    )
      midway++
    acknowledged = generation
  }
  t.ok(acknowledged > 5, `${acknowledged} generations`)
  t.comment(`${midway} of 25 kills hit while a file was being written`)
})
