import { FairleadError } from '../../lib/errors.ts'
import { FsStore } from './fs-store.ts'
import type { BackupStore } from './store.ts'

/** Makes the backup store that a URL names: `fs:/absolute/path`, a directory that all pods share and that must exist. Does no I/O. Throws a FairleadError with code `config` for anything else. */
export function openStore(url: string): BackupStore {
  const path = /^fs:(?:\/\/)?(\/(?!\/).*)$/s.exec(url)?.[1]
  if (path === undefined || path.includes('\0'))
    throw new FairleadError('config', 'backup store: expected fs:/absolute/path')
  return new FsStore(path)
}
