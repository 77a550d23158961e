import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openStore } from '../../pod/backup/open-store.ts'
import { SessionBackup } from '../../pod/backup/session-backup.ts'
import type { BackupStore } from '../../pod/backup/store.ts'
import { LeasedStore } from '../../pod/leased-store.ts'

const AT = { sessionId: 'alice', epoch: 1 }

t.test(
  'without a lease nothing is written or removed, and everything can be read; with one all of it works',
  async t => {
    const root = await mkdtemp(join(tmpdir(), 'fairlead-leased-'))
    t.teardown(() => rm(root, { recursive: true, force: true }))
    const lease = { mayWrite: () => mayWrite }
    let mayWrite = true
    const store: BackupStore = new LeasedStore(openStore(`fs:${root}`), lease)
    const data = Buffer.from('x')
    const sha256 = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'
    await store.fence(AT)
    await store.writeBlob(AT, sha256, data)
    await store.writeManifest(AT, 1, data)
    const before = (await readdir(root, { recursive: true })).toSorted()
    const writes: readonly (() => Promise<unknown>)[] = [
      () => store.fence({ ...AT, epoch: 2 }),
      () => store.writeManifest(AT, 2, data),
      () => store.removeManifest(AT, 1),
      () => store.writeBlob(AT, sha256.replace('2', '3'), data),
      () => store.bringBlob(AT, { ...AT, epoch: 2 }, sha256),
      () => store.removeBlob(AT, sha256),
      () => store.removeEpoch(AT),
      () => store.removeSession('alice')
    ]
    mayWrite = false
    for (const write of writes) await t.rejects(write(), { code: 'fenced' })
    t.same((await readdir(root, { recursive: true })).toSorted(), before)
    t.same(await store.epochs('alice'), [1])
    t.same(await store.sequences(AT), [1])
    t.same(await store.blobs(AT), [sha256])
    t.ok((await store.readManifest(AT, 1)).equals(data))
    t.ok((await store.readBlob(AT, { sha256, size: 1 })).equals(data))
    mayWrite = true
    for (const write of writes) await t.resolves(write())
    t.same(await store.epochs('alice'), [])
  }
)

t.test('a lease that ends in the middle of a save stops it before its manifest', async t => {
  const root = await mkdtemp(join(tmpdir(), 'fairlead-leased-'))
  t.teardown(() => rm(root, { recursive: true, force: true }))
  let asked = 0
  let lastsFor = Number.POSITIVE_INFINITY
  const lease = { mayWrite: () => (asked += 1) <= lastsFor }
  const store = new LeasedStore(openStore(`fs:${root}`), lease)
  const directory = join(root, 'files')
  const backup = new SessionBackup({ store, sessionId: 'alice', directory })
  await backup.open(1)
  await backup.restore()
  await writeFile(join(directory, 'a'), 'some content')
  lastsFor = asked + 1
  await t.rejects(backup.save(), { code: 'fenced' })
  t.same((await store.sequences(AT)).length, 1, 'the opening manifest and no other')
  lastsFor = Number.POSITIVE_INFINITY
  t.match(await backup.save(), { changed: true, files: 1 })
})
