import { hash } from 'node:crypto'
import { lstatSync, mkdtempSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '../../../pod/backup/open-store.ts'
import { removeTree } from '../../../pod/backup/remove-tree.ts'
import { SessionBackup } from '../../../pod/backup/session-backup.ts'
import type { Test } from 'tap'
import type { BackupStore } from '../../../pod/backup/store.ts'

/** A temporary directory that goes with the test. */
export function workplace(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-backup-'))
  t.teardown(() => removeTree(directory))
  return directory
}

/** One line for each thing in a directory, with everything that a backup promises to keep; times as fine as a restore keeps them. */
export function describeTree(directory: string): string[] {
  const inodes = new Map<bigint, string>()
  return list(Buffer.from(directory), Buffer.alloc(0)).map(({ at, path }) => {
    const stat = lstatSync(at, { bigint: true })
    const name = path.toString('latin1')
    const time = heldTime(stat.mtimeNs)
    if (stat.isSymbolicLink()) return `${name} -> ${readlinkSync(at, { encoding: 'latin1' })} ${time}`
    const mode = (stat.mode & 0o7777n).toString(8)
    if (stat.isDirectory()) return `${name}/ ${mode} ${time}`
    const first = inodes.get(stat.ino)
    if (first !== undefined) return `${name} = ${first}`
    inodes.set(stat.ino, name)
    return `${name} ${mode} ${time} ${stat.size} ${hash('sha256', readFileSync(at))}`
  })
}

/** node:fs sets times as seconds in a float, which has 22 bits after the point in this century. */
function heldTime(ns: bigint): string {
  return `${(ns * 4_194_304n + 500_000_000n) / 1_000_000_000n}`
}

function list(at: Buffer, path: Buffer): { at: Buffer; path: Buffer }[] {
  const found = [{ at, path }]
  if (!lstatSync(at).isDirectory()) return found
  const names = readdirSync(at, { encoding: 'buffer' }).toSorted((a, b) => a.compare(b))
  const slash = Buffer.from('/')
  for (const name of names)
    found.push(...list(Buffer.concat([at, slash, name]), path.length === 0 ? name : Buffer.concat([path, slash, name])))
  return found
}

/** The backups of session `s` between a store and a directory. */
export function backupOf(store: BackupStore, directory: string): SessionBackup {
  return new SessionBackup({ store, sessionId: 's', directory })
}

/** Restores session `s` from a store at `root` into a new directory, as a person would look at it, and describes that. */
export async function restoredTree(t: Test, root: string): Promise<string[]> {
  const directory = join(workplace(t), 'restored')
  await backupOf(openStore(`fs:${root}`), directory).restore()
  return describeTree(directory)
}
