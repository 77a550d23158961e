import {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { rename, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import t from 'tap'
import { StoreUnavailableError } from '../../../pod/backup/errors.ts'
import { FsStore } from '../../../pod/backup/fs-store.ts'
import { openStore } from '../../../pod/backup/open-store.ts'
import { CHUNK_BYTES } from '../../../pod/backup/read-stable.ts'
import { backupOf, describeTree, restoredTree, workplace } from './tree.ts'
import type { Test } from 'tap'

function place(test: Test) {
  const base = workplace(test)
  const [root, directory, other] = [join(base, 'store'), join(base, 'a'), join(base, 'b')]
  for (const path of [root, directory]) mkdirSync(path)
  return { base, root, directory, other, store: openStore(`fs:${root}`) }
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** One of everything that a session's directory may hold. */
function fill(directory: string): void {
  const at = (name: string) => join(directory, name)
  writeFileSync(at('plain.txt'), 'hello')
  writeFileSync(at('empty'), '')
  writeFileSync(at('same'), 'hello')
  writeFileSync(at('three chunks'), Buffer.alloc(CHUNK_BYTES * 2 + 77, 'ab'))
  truncateSync((writeFileSync(at('hole'), 'x'), at('hole')), CHUNK_BYTES + 5)
  mkdirSync(at('deep/er/still'), { recursive: true })
  mkdirSync(at('empty directory'))
  writeFileSync(at('deep/er/run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  for (const name of ['__proto__', 'constructor', 'new\nline', ' ', '-rf', 'ä'.repeat(120), '"quote\\', '\u{1f600}'])
    writeFileSync(at(name), name)
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), bytes('\xff\xfe latin \xe4')]), 'not UTF-8')
  symlinkSync('plain.txt', at('link'))
  symlinkSync('/nowhere/at all', at('dangling'))
  symlinkSync('..', at('up'))
  symlinkSync(bytes('\xff'), at('odd target'))
  linkSync(at('plain.txt'), at('deep/hard'))
  linkSync(at('plain.txt'), at('zz hard'))
  writeFileSync(at('read only'), 'r', { mode: 0o444 })
  writeFileSync(at('secret'), 's')
  chmodSync(at('secret'), 0o600)
  mkdirSync(at('closed'))
  writeFileSync(at('closed/in'), 'i')
  chmodSync(at('closed'), 0o555)
  mkdirSync(at('sticky'))
  chmodSync(at('sticky'), 0o1777)
  utimesSync(at('plain.txt'), 1, 1_234_567_890.123456)
  utimesSync(at('deep'), 1, 981_173_106)
  lutimesSync(at('dangling'), 1, 1_000_000_000.25)
  chmodSync(directory, 0o750)
}

t.test('a restore puts back exactly what was there', async t => {
  const { root, directory, store } = place(t)
  fill(directory)
  const backup = backupOf(store, directory)
  await backup.open(1)
  const report = await backup.save()
  t.match(report, { changed: true, sequence: 1, unstable: [], left: [] })
  t.strictSame(await restoredTree(t, root), describeTree(directory))
})

t.test('ten cycles of move and change lose nothing', async t => {
  const { base, root, store } = place(t)
  let directory = join(base, 'a')
  fill(directory)
  for (let epoch = 1; epoch <= 10; epoch++) {
    const backup = backupOf(store, directory)
    await backup.open(epoch)
    if (epoch > 1) {
      const restored = await backup.restore()
      t.equal(restored.restored, true)
      t.strictSame(describeTree(directory), await restoredTree(t, root), `cycle ${epoch}`)
    }
    writeFileSync(join(directory, `made in ${epoch}`), `${epoch}`)
    writeFileSync(join(directory, 'plain.txt'), `epoch ${epoch}`)
    mkdirSync(join(directory, `directory ${epoch}`))
    await backup.save()
    await backup.idle()
    const expected = describeTree(directory)
    t.strictSame(await restoredTree(t, root), expected, `after ${epoch}`)
    directory = join(base, `pod ${epoch}`)
  }
  const made = readdirSync(join(base, 'pod 9')).filter(name => name.startsWith('made in'))
  t.equal(made.length, 10)
  t.equal(readdirSync(join(root, 'sessions/s')).length, 2, 'epochs that are not needed are gone')
})

t.test('a session that keeps its directory over three epochs sends nothing twice', async t => {
  const { root, directory, store } = place(t)
  writeFileSync(join(directory, 'large'), Buffer.alloc(CHUNK_BYTES, 1))
  const backup = backupOf(store, directory)
  const sent = []
  for (const epoch of [1, 2, 3]) {
    await backup.open(epoch)
    await backup.open(epoch)
    const report = await backup.save()
    t.match(report, { changed: true, sequence: 1 })
    sent.push(report.sentBytes)
  }
  t.strictSame(sent, [CHUNK_BYTES, 0, 0])
  t.strictSame(await restoredTree(t, root), describeTree(directory))
})

t.test('only what changed is sent', async t => {
  const { directory, store } = place(t)
  const backup = backupOf(store, directory)
  await backup.open(1)
  writeFileSync(join(directory, 'large'), Buffer.alloc(CHUNK_BYTES * 3, 'abc'))
  writeFileSync(join(directory, 'copy'), Buffer.alloc(CHUNK_BYTES * 3, 'abc'))
  const first = await backup.save()
  t.equal(first.bytes, CHUNK_BYTES * 6)
  t.ok(first.sentBytes <= CHUNK_BYTES * 3, 'equal content is sent once')
  t.match(await backup.save(), { changed: false, sequence: 1, sentBytes: 0 })
  writeFileSync(join(directory, 'large'), 'tail', { flag: 'a' })
  t.match(await backup.save(), { changed: true, sequence: 2, sentBytes: 4 })
  chmodSync(join(directory, 'copy'), 0o600)
  t.match(await backup.save(), { changed: true, sequence: 3, sentBytes: 0 }, 'a mode is a change')
  await rename(join(directory, 'copy'), join(directory, 'renamed'))
  t.match(await backup.save(), { changed: true, sequence: 4, sentBytes: 0 }, 'a name is a change')
})

/** What this process has read from files and pipes until now, in bytes, as the kernel counts it. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}

async function readBy(work: () => Promise<unknown>): Promise<number> {
  const before = bytesRead()
  await work()
  return bytesRead() - before
}

t.test('unchanged files are not read again', async t => {
  const { directory, other, store } = place(t)
  const size = 20_000_000
  writeFileSync(join(directory, 'large'), Buffer.alloc(size, 'x'))
  const backup = backupOf(store, directory)
  await backup.open(1)
  t.ok((await readBy(() => backup.save())) >= size, 'the twin: what is new is read')
  t.ok((await readBy(() => backup.save())) >= size, 'what was just written may still be in the writing')
  // Old enough that a write which began at that time has ended.
  while (Date.now() - lstatSync(join(directory, 'large')).ctimeMs < 2300) await sleep(50)
  await backup.save()
  writeFileSync(join(directory, 'small'), 's')
  t.ok((await readBy(() => backup.save())) < size / 2)
  await backup.open(2)
  t.ok((await readBy(() => backup.save())) < size / 2, 'nor in a new epoch')
  chmodSync(join(directory, 'large'), 0o600)
  t.ok((await readBy(() => backup.save())) >= size, 'a change of its status counts')
  const next = backupOf(store, other)
  await next.open(3)
  await next.restore()
  t.ok((await readBy(() => next.save())) < size / 2, 'nor after a restore')
})

t.test('a write within the same clock tick as the save is not missed', async t => {
  const { root, directory, store } = place(t)
  const backup = backupOf(store, directory)
  await backup.open(1)
  const file = join(directory, 'f')
  for (let round = 0; round < 30; round++) {
    writeFileSync(file, `a${round}`.padEnd(8))
    const saving = backup.save()
    await new Promise(resolve => setTimeout(resolve, round % 12))
    writeFileSync(file, `b${round}`.padEnd(8))
    await saving
    await backup.save()
    const directoryAgain = join(workplace(t), 'x')
    await backupOf(openStore(`fs:${root}`), directoryAgain).restore()
    t.equal(readFileSync(join(directoryAgain, 'f'), 'utf8'), `b${round}`.padEnd(8))
  }
})

t.test('an older epoch is refused, and leaves nothing visible', async t => {
  const { root, directory, other, store } = place(t)
  writeFileSync(join(directory, 'f'), 'old owner')
  const old = backupOf(store, directory)
  await old.open(4)
  await old.save()
  const next = backupOf(store, other)
  await next.open(5)
  await next.restore()
  writeFileSync(join(directory, 'f'), 'too late')
  await t.rejects(old.save(), { code: 'stale-epoch', storeEpoch: 5 })
  await t.rejects(old.restore(), { code: 'stale-epoch', storeEpoch: 5 })
  await t.rejects(old.remove(), { code: 'stale-epoch', storeEpoch: 5 })
  await t.rejects(old.open(4), { code: 'stale-epoch', storeEpoch: 5 })
  await t.rejects(backupOf(store, directory).open(3), { code: 'stale-epoch', storeEpoch: 5 })
  t.strictSame(await restoredTree(t, root), describeTree(other))
  t.equal(readFileSync(join(other, 'f'), 'utf8'), 'old owner')
})

t.test('an epoch that another process opened is refused', async t => {
  const { root, directory, store } = place(t)
  const script = `
    import { openStore } from '${new URL('../../../pod/backup/open-store.ts', import.meta.url).href}'
    import { SessionBackup } from '${new URL('../../../pod/backup/session-backup.ts', import.meta.url).href}'
    await new SessionBackup({ store: openStore('fs:${root}'), sessionId: 's', directory: '${directory}' }).open(1)`
  execFileSync(process.execPath, ['--input-type=module', '-e', script])
  await t.rejects(backupOf(store, directory).open(1), { code: 'stale-epoch', storeEpoch: 1 })
  await backupOf(store, directory).open(2)
  await backupOf(store, directory).open(2)
})

t.test('two owners that save at once: the higher epoch wins, whatever the order', async t => {
  const { root, directory, other, store } = place(t)
  writeFileSync(join(directory, 'f'), 'shared')
  const low = backupOf(store, directory)
  await low.open(1)
  await low.save()
  const high = backupOf(store, other)
  mkdirSync(other)
  const lowLoop = (async () => {
    for (let round = 0; ; round++) {
      writeFileSync(join(directory, 'f'), `low ${round}`)
      await low.save()
    }
  })()
  const refused = t.rejects(lowLoop, { code: 'stale-epoch', storeEpoch: 2 })
  for (let round = 0; round < 3; round++) await low.save()
  await high.open(2)
  for (let round = 0; round < 10; round++) {
    writeFileSync(join(other, 'f'), `high ${round}`)
    await high.save()
  }
  await refused
  t.strictSame(await restoredTree(t, root), describeTree(other))
})

/** The real store, which holds each manifest back until it is told. */
class GatedStore extends FsStore {
  readonly atGate = Promise.withResolvers<void>()
  readonly pass = Promise.withResolvers<void>()

  override async writeManifest(...args: Parameters<FsStore['writeManifest']>): Promise<void> {
    if (args[1] > 0) {
      this.atGate.resolve()
      await this.pass.promise
    }
    await super.writeManifest(...args)
  }
}

t.test('saves that wait are joined into one, which sees what was there when it was asked for', async t => {
  const { root, directory } = place(t)
  const store = new GatedStore(root)
  const backup = backupOf(store, directory)
  await backup.open(1)
  writeFileSync(join(directory, 'f'), '1')
  const first = backup.save()
  await store.atGate.promise
  writeFileSync(join(directory, 'g'), '2')
  const later = [backup.save(), backup.save(), backup.save()]
  store.pass.resolve()
  t.match(await first, { sequence: 1, files: 1 })
  for (const report of await Promise.all(later)) t.match(report, { sequence: 2, files: 2 })
  t.strictSame(await restoredTree(t, root), describeTree(directory))
})

t.test('a manifest whose answer got lost does not look like a second writer to the next save', async t => {
  const { root, directory } = place(t)
  let lose = false
  /** The real store, over a bad line. */
  class LosingStore extends FsStore {
    override async writeManifest(...args: Parameters<FsStore['writeManifest']>): Promise<void> {
      await super.writeManifest(...args)
      if (lose) throw new StoreUnavailableError('store-failed', 'no answer')
    }
  }
  const backup = backupOf(new LosingStore(root), directory)
  await backup.open(1)
  writeFileSync(join(directory, 'f'), '1')
  lose = true
  await t.rejects(backup.save(), { code: 'store-failed' })
  lose = false
  writeFileSync(join(directory, 'f'), '2')
  t.match(await backup.save(), { changed: true, sequence: 2 })
  t.strictSame(await restoredTree(t, root), describeTree(directory))
})

t.test('only the newest backups are kept, and no content that none needs', async t => {
  const { root, directory, store } = place(t)
  const backup = backupOf(store, directory)
  await backup.open(1)
  for (let round = 0; round < 8; round++) {
    writeFileSync(join(directory, 'f'), `${round}`)
    await backup.save()
  }
  await backup.idle()
  const at = { sessionId: 's', epoch: 1 }
  t.strictSame(await store.sequences(at), [0, 6, 7, 8])
  t.equal((await store.blobs(at)).length, 3)
  t.strictSame(await restoredTree(t, root), describeTree(directory))
})

t.test('an older epoch goes once its successor has two backups, not before', async t => {
  const { directory, other, store } = place(t)
  writeFileSync(join(directory, 'f'), '1')
  const old = backupOf(store, directory)
  await old.open(1)
  await old.save()
  const next = backupOf(store, other)
  await next.open(2)
  await next.restore()
  await next.save()
  await next.idle()
  t.strictSame(await store.epochs('s'), [1, 2])
  writeFileSync(join(other, 'f'), '2')
  await next.save()
  await next.idle()
  t.strictSame(await store.epochs('s'), [2])
})

t.test('fifos and sockets are left out and named', async t => {
  const { root, directory, store } = place(t)
  execFileSync('mkfifo', [join(directory, 'pipe')])
  const server = createServer().listen(join(directory, 'socket'))
  t.teardown(() => server.close())
  await once(server, 'listening')
  writeFileSync(join(directory, 'f'), 'kept')
  const backup = backupOf(store, directory)
  await backup.open(1)
  const { left } = await backup.save()
  t.strictSame(
    left.toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    [
      { path: 'pipe', reason: 'fifo' },
      { path: 'socket', reason: 'socket' }
    ]
  )
  t.equal((await restoredTree(t, root)).length, 2)
})

t.test('set-user-id does not survive a restore', async t => {
  const { directory, other, store } = place(t)
  writeFileSync(join(directory, 'f'), '#!')
  chmodSync(join(directory, 'f'), 0o6755)
  const backup = backupOf(store, directory)
  await backup.open(1)
  await backup.save()
  await backupOf(store, other).restore()
  t.equal(lstatSync(join(other, 'f')).mode & 0o7777, 0o755)
})

t.test('a session without a backup starts empty', async t => {
  const { other, store } = place(t)
  const backup = backupOf(store, other)
  await backup.open(1)
  t.match(await backup.restore(), { restored: false, epoch: 0, sequence: 0, skipped: [] })
  t.strictSame(readdirSync(other), [])
})

t.test('a restore never mixes with what is there', async t => {
  const { directory, other, store } = place(t)
  writeFileSync(join(directory, 'f'), '1')
  const backup = backupOf(store, directory)
  await backup.open(1)
  await backup.save()
  mkdirSync(other)
  writeFileSync(join(other, 'newer'), 'local')
  await t.rejects(backupOf(store, other).restore(), { code: 'backup-directory' })
  t.strictSame(readdirSync(other), ['newer'])
})

t.test('a missing session directory is an error, not an empty backup', async t => {
  const { root, directory, store } = place(t)
  writeFileSync(join(directory, 'f'), '1')
  const backup = backupOf(store, directory)
  await backup.open(1)
  await backup.save()
  const before = describeTree(directory)
  await rm(directory, { recursive: true })
  await t.rejects(backup.save(), { code: 'backup-directory' })
  t.strictSame(await restoredTree(t, root), before)
})

t.test('a save before open is refused', async t => {
  const { directory, store } = place(t)
  await t.rejects(backupOf(store, directory).save(), { code: 'backup-not-open' })
})

t.test('remove leaves nothing, and the id can start again at epoch 1', async t => {
  const { root, directory, store } = place(t)
  writeFileSync(join(directory, 'f'), '1')
  const backup = backupOf(store, directory)
  await backup.open(7)
  await backup.save()
  await backup.remove()
  t.strictSame(readdirSync(join(root, 'sessions')), [])
  await t.rejects(backup.save(), { code: 'backup-not-open' })
  await backup.open(1)
  t.match(await backup.save(), { changed: true, sequence: 1 })
})

t.test('a store that was emptied is an error until the epoch is opened again', async t => {
  const { root, directory, store } = place(t)
  writeFileSync(join(directory, 'f'), '1')
  const backup = backupOf(store, directory)
  await backup.open(2)
  await backup.save()
  await rm(join(root, 'sessions'), { recursive: true })
  writeFileSync(join(directory, 'g'), '2')
  await t.rejects(backup.save(), { code: 'store-lost' })
  await backup.open(2)
  await backup.save()
  t.strictSame(await restoredTree(t, root), describeTree(directory))
})
