import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openStore } from '../../../pod/backup/open-store.ts'
import { backupOf, describeTree, workplace } from './tree.ts'
import type { Test } from 'tap'

/** Why small file systems cannot be mounted here; null where they can, and where they must (CI). */
function whyNoMount(): string | null {
  const where = workplace(t)
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', where], { stdio: 'pipe' })
    execFileSync('umount', [where])
    return null
  } catch (error) {
    return process.env['CI'] === undefined ? `cannot mount a tmpfs: ${String(error).split('\n')[0]}` : null
  }
}

const skip = whyNoMount() ?? false

function mounted(test: Test, options: string) {
  const base = workplace(test)
  const [root, directory, copy] = [join(base, 'store'), join(base, 'a'), join(base, 'copy')]
  for (const path of [root, directory]) mkdirSync(path)
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root])
  test.teardown(() => execFileSync('umount', [root]))
  const store = openStore(`fs:${root}`)
  const restored = async () => {
    await rm(copy, { recursive: true, force: true })
    await backupOf(store, copy).restore()
    return describeTree(copy)
  }
  return { root, directory, store, restored }
}

t.test('a full disk: a clear error, nothing half-done, the space given back, the next save fine', { skip }, async t => {
  const { root, directory, store, restored } = mounted(t, 'size=2m')
  const backup = backupOf(store, directory)
  await backup.open(1)
  writeFileSync(join(directory, 'f'), randomBytes(300_000))
  await backup.save()
  const before = describeTree(directory)
  const free = (await statfs(root)).bfree
  for (let file = 0; file < 8; file++) writeFileSync(join(directory, `more${file}`), randomBytes(400_000))
  await t.rejects(backup.save(), { code: 'store-full', message: /no space left/i })
  t.equal((await statfs(root)).bfree, free)
  t.strictSame(await restored(), before)
  for (let file = 0; file < 6; file++) rmSync(join(directory, `more${file}`))
  t.match(await backup.save(), { changed: true })
  t.strictSame(await restored(), describeTree(directory))
})

t.test('a disk that is full at any step of a save', { skip }, async t => {
  const { root, directory, store, restored } = mounted(t, 'size=4m,nr_inodes=100')
  const backup = backupOf(store, directory)
  await backup.open(1)
  writeFileSync(join(directory, 'f'), '0')
  await backup.save()
  await backup.idle()
  let good = describeTree(directory)
  let failures = 0
  for (let room = 1; room <= 14; room++) {
    const used = (await statfs(root)).files - (await statfs(root)).ffree
    execFileSync('mount', ['-o', `remount,nr_inodes=${used + room}`, root])
    for (let file = 0; file < 8; file++) writeFileSync(join(directory, `g${file}`), `${room} ${file}`)
    const saved = await backup.save().then(
      () => true,
      (error: unknown) => {
        t.match(error, { code: 'store-full' })
        return false
      }
    )
    if (saved) good = describeTree(directory)
    else failures++
    t.strictSame(await restored(), good)
    execFileSync('mount', ['-o', 'remount,nr_inodes=100', root])
    await backup.idle()
    if (!saved) {
      await backup.save()
      good = describeTree(directory)
      t.strictSame(await restored(), good, 'with room again')
    }
  }
  t.ok(failures >= 8, `${failures} failures`)
  t.ok(failures < 14)
  t.notOk(
    readdirSync(root, { recursive: true }).some(name => String(name).includes('.tmp-')),
    'no temporary files'
  )
})

t.test('a read-only store: saves fail clearly, restores work', { skip }, async t => {
  const { root, directory, store, restored } = mounted(t, 'size=2m')
  const backup = backupOf(store, directory)
  await backup.open(1)
  writeFileSync(join(directory, 'f'), '1')
  await backup.save()
  await backup.idle()
  const before = describeTree(directory)
  execFileSync('mount', ['-o', 'remount,ro', root])
  writeFileSync(join(directory, 'f'), '2')
  await t.rejects(backup.save(), { code: 'store-read-only' })
  await t.rejects(backupOf(store, directory).open(2), { code: 'store-read-only' })
  t.strictSame(await restored(), before)
  execFileSync('mount', ['-o', 'remount,rw', root])
  await backup.save()
  t.equal(readFileSync(join(directory, 'f'), 'utf8'), '2')
  t.strictSame(await restored(), describeTree(directory))
})

t.test('a full local disk: the restore fails whole', { skip }, async t => {
  const { root: small, directory, restored } = mounted(t, 'size=1m')
  const base = workplace(t)
  const store = openStore(`fs:${base}`)
  const backup = backupOf(store, directory)
  await backup.open(1)
  for (let file = 0; file < 8; file++) writeFileSync(join(directory, `f${file}`), randomBytes(400_000))
  await backup.save()
  await t.rejects(backupOf(store, join(small, 's')).restore(), { code: 'backup-directory', message: /no space left/i })
  t.strictSame(readdirSync(small), [])
  t.ok(restored)
})

t.test('a missing root is an error, for reading as for writing, and is not made', async t => {
  const base = workplace(t)
  const store = openStore(`fs:${join(base, 'nowhere')}`)
  const backup = backupOf(store, join(base, 'a'))
  await t.rejects(backup.open(1), { code: 'store-missing' })
  await t.rejects(backup.restore(), { code: 'store-missing' })
  t.strictSame(readdirSync(base), [])
})

t.test('a root that is a file is an error', async t => {
  const base = workplace(t)
  writeFileSync(join(base, 'file'), '')
  await t.rejects(backupOf(openStore(`fs:${join(base, 'file')}`), join(base, 'a')).open(1), { code: 'store-failed' })
})

t.test('openStore takes absolute directories and nothing else', async t => {
  t.equal(openStore('fs:/x/y').url, 'fs:/x/y')
  t.equal(openStore('fs:///x/y').url, 'fs:/x/y')
  for (const url of ['', 'fs:', 'fs:relative', 'fs://host/x', '/x', 's3://bucket', 'fs:/x\0y'])
    t.throws(() => openStore(url), { code: 'config' }, url)
})
