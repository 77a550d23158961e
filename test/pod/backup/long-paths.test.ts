import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openStore } from '../../../pod/backup/open-store.ts'
import { removeTree } from '../../../pod/backup/remove-tree.ts'
import { backupOf, workplace } from './tree.ts'

/** Short, so that some level is where the path from the root is just too long to be told, and the one from here is not. */
const NAME = 'n'
const LEVELS = 2200

/** Makes directories in one another, far below what a path can name, as a command does that goes down step by step. */
function dig(directory: string): void {
  let at = openSync(directory, 'r')
  for (let level = 0; level < LEVELS; level += 1) {
    mkdirSync(`/proc/self/fd/${at}/${NAME}`)
    const next = openSync(`/proc/self/fd/${at}/${NAME}`, 'r')
    closeSync(at)
    at = next
  }
  writeFileSync(`/proc/self/fd/${at}/bottom`, 'x')
  closeSync(at)
}

t.test('a tree deeper than any path is left out of the backup, and holds no file open', async t => {
  const base = workplace(t)
  const [root, directory] = [join(base, 'store'), join(base, 'a')]
  for (const path of [root, directory]) mkdirSync(path)
  dig(directory)
  writeFileSync(join(directory, 'near'), 'x')
  const backup = backupOf(openStore(`fs:${root}`), directory)
  await backup.open(1)
  const openBefore = readdirSync('/proc/self/fd').length
  const { left, files } = await backup.save()
  t.equal(files, 1)
  t.match(left, [{ reason: 'unreadable' }])
  t.equal(readdirSync('/proc/self/fd').length, openBefore)
})

t.test('a tree deeper than any path can be removed', async t => {
  const base = workplace(t)
  const directory = join(base, 'a')
  mkdirSync(directory)
  dig(directory)
  mkdirSync(join(directory, 'empty'))
  await removeTree(directory)
  t.same(readdirSync(base), [])
  await removeTree(directory)
})
