/** What an ordinary user sees of backups; root, for whom no mode is a hindrance, would see none of it. Argument: a directory of his own, with `store`, and `locked`, a store that he may not write. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BackupDamagedError } from '../../../pod/backup/errors.ts'
import { FsStore } from '../../../pod/backup/fs-store.ts'
import { removeTree } from '../../../pod/backup/remove-tree.ts'
import { SessionBackup } from '../../../pod/backup/session-backup.ts'
import { describeTree } from './tree.ts'

const base = process.argv[2] ?? ''
const [directory, copy] = [join(base, 'a'), join(base, 'copy')]
const store = new FsStore(join(base, 'store'))
const session = (at: string, of = store) => new SessionBackup({ store: of, sessionId: 's', directory: at })
const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error)
const restore = async () => {
  await removeTree(copy)
  await session(copy).restore()
}

mkdirSync(join(directory, 'closed/inner'), { recursive: true })
writeFileSync(join(directory, 'closed/inner/f'), 'f', { mode: 0o444 })
writeFileSync(join(directory, 'sealed'), 'first')
for (const path of ['closed/inner', 'closed']) chmodSync(join(directory, path), 0o555)
const backup = session(directory)
await backup.open(1)
await backup.save()
await restore()
const closed = { original: describeTree(directory), copy: describeTree(copy) }

/** Fails when directories are made and files begun. */
class CutStore extends FsStore {
  override readBlob(): Promise<never> {
    return Promise.reject(new BackupDamagedError('cut'))
  }
}
await removeTree(copy)
const cut = await session(copy, new CutStore(join(base, 'store')))
  .restore()
  .catch(codeOf)

chmodSync(join(directory, 'sealed'), 0)
mkdirSync(join(directory, 'sealed directory'), { mode: 0 })
writeFileSync(join(directory, 'never seen'), 'x', { mode: 0 })
const { left } = await backup.save()
await restore()
const locked = await session(directory, new FsStore(join(base, 'locked')))
  .open(1)
  .catch(codeOf)
process.send?.({ closed, cut, left, names: readdirSync(copy), locked, around: readdirSync(base) })
await removeTree(directory)
await removeTree(copy)
process.send?.(readdirSync(base))
process.disconnect?.()
