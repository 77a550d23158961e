import { hash } from 'node:crypto'
import { linkSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FsStore } from '../../../pod/backup/fs-store.ts'
import { workplace } from './tree.ts'

const [data, otherData] = [Buffer.from('content'), Buffer.from('other')]
const sha256 = hash('sha256', data)
const [one, two] = [1, 2].map(epoch => ({ sessionId: 's', epoch })) as [
  { sessionId: string; epoch: number },
  { sessionId: string; epoch: number }
]

t.test('epochs are listed as numbers, ascending, as soon as they are fenced', async t => {
  const root = workplace(t)
  const store = new FsStore(root)
  t.strictSame(await store.epochs('s'), [])
  for (const epoch of [10, 9, 2 ** 40, 9]) await store.fence({ sessionId: 's', epoch })
  mkdirSync(join(root, 'sessions/s/lost+found'))
  writeFileSync(join(root, 'sessions/s/.nfs0001'), '')
  t.strictSame(await new FsStore(root).epochs('s'), [9, 10, 2 ** 40])
})

t.test('a manifest is never replaced', async t => {
  const store = new FsStore(workplace(t))
  await store.fence(one)
  await store.writeManifest(one, 1, data)
  await store.writeManifest(one, 1, data)
  await t.rejects(store.writeManifest(one, 1, otherData), { code: 'manifest-exists' })
  t.ok((await store.readManifest(one, 1)).equals(data))
  t.strictSame(await store.sequences(one), [1])
  await store.removeManifest(one, 1)
  await store.removeManifest(one, 1)
  await t.rejects(store.readManifest(one, 1), { code: 'object-missing' })
})

t.test('of many that write one manifest at once, one wins', async t => {
  const store = new FsStore(workplace(t))
  await store.fence(one)
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => store.writeManifest(one, 5, Buffer.from(`writer ${index}`)))
  )
  t.equal(results.filter(result => result.status === 'fulfilled').length, 1)
  t.match(String(await store.readManifest(one, 5)), /^writer \d+$/)
})

t.test('blobs come back as they were, and are checked for their size', async t => {
  const store = new FsStore(workplace(t))
  await store.fence(one)
  await store.writeBlob(one, sha256, data)
  t.ok((await store.readBlob(one, { sha256, size: data.length })).equals(data))
  await t.rejects(store.readBlob(one, { sha256, size: 3 }), { code: 'backup-damaged' })
  t.strictSame(await store.blobs(one), [sha256])
  await store.removeBlob(one, sha256)
  await t.rejects(store.readBlob(one, { sha256, size: data.length }), { code: 'object-missing' })
})

t.test('a blob brought over outlives its first epoch, and costs nothing', async t => {
  const root = workplace(t)
  const store = new FsStore(root)
  for (const at of [one, two]) await store.fence(at)
  await store.writeBlob(one, sha256, data)
  t.equal(await store.bringBlob(one, two, sha256), true)
  t.equal(await store.bringBlob(one, two, sha256), true)
  t.equal(lstatSync(join(root, 'sessions/s/0000000000000002/blobs', sha256)).nlink, 2)
  t.equal(await store.bringBlob(one, two, 'b'.repeat(64)), false)
  await store.removeEpoch(one)
  t.ok((await store.readBlob(two, { sha256, size: data.length })).equals(data))
  t.equal(await store.bringBlob(one, two, 'b'.repeat(64)), false)
})

t.test('a blob with as many links as the file system takes is copied', async t => {
  const root = workplace(t)
  const store = new FsStore(root)
  for (const at of [one, two]) await store.fence(at)
  await store.writeBlob(one, sha256, data)
  const blob = join(root, 'sessions/s/0000000000000001/blobs', sha256)
  mkdirSync(join(root, 'links'))
  try {
    for (let count = 0; count < 70_000; count++) linkSync(blob, join(root, 'links', `${count}`))
    t.comment('this file system has no bound that can be reached here')
  } catch (error) {
    t.match(error, { code: 'EMLINK' })
    t.equal(await store.bringBlob(one, two, sha256), true)
    t.equal(lstatSync(join(root, 'sessions/s/0000000000000002/blobs', sha256)).nlink, 1)
  }
  t.ok((await store.readBlob(one, { sha256, size: data.length })).equals(data))
})

t.test('writing to an epoch that is gone is `store-lost`, and makes nothing', async t => {
  const root = workplace(t)
  const store = new FsStore(root)
  await store.fence(one)
  await store.writeBlob(one, sha256, data)
  await store.fence(two)
  await store.removeEpoch(two)
  await t.rejects(store.writeBlob(two, sha256, data), { code: 'store-lost' })
  await t.rejects(store.writeManifest(two, 1, data), { code: 'store-lost' })
  await t.rejects(store.bringBlob(one, two, sha256), { code: 'store-lost' })
  t.strictSame(await store.epochs('s'), [1])
  await store.removeSession('s')
  await store.removeSession('s')
  t.strictSame(readdirSync(join(root, 'sessions')), [])
})

t.test('what a removal that was cut short left is invisible, and goes with the next', async t => {
  const root = workplace(t)
  const store = new FsStore(root)
  for (const at of [one, two]) await store.fence(at)
  mkdirSync(join(root, 'sessions/s/.trash-0000000000000000-x'))
  t.strictSame(await store.epochs('s'), [1, 2])
  await store.removeEpoch(one)
  t.strictSame(readdirSync(join(root, 'sessions/s')), ['0000000000000002'])
})

t.test('nothing in a store can be read by others', async t => {
  const root = workplace(t)
  const store = new FsStore(root)
  await store.fence(one)
  await store.writeBlob(one, sha256, data)
  await store.writeManifest(one, 0, data)
  for (const name of readdirSync(join(root, 'sessions'), { recursive: true }))
    t.equal(lstatSync(join(root, 'sessions', String(name))).mode & 0o007, 0, String(name))
})

t.test('an id that is no DNS label is refused before it becomes a path', async t => {
  const store = new FsStore(workplace(t))
  for (const sessionId of ['../x', '', 'A', 'a/b', '.'])
    await t.rejects(store.fence({ sessionId, epoch: 1 }), { code: 'store-failed' })
})
