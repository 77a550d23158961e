import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, link, lstat, mkdir, open, readFile, readdir, rename, rm, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isDnsLabel } from '../../lib/ids.ts'
import { BackupDamagedError, ManifestExistsError, ObjectMissingError, StoreUnavailableError } from './errors.ts'
import { hasCode, storeFault } from './fs-fault.ts'
import { Limiter } from './limiter.ts'
import { MAX_MANIFEST_BYTES } from './store.ts'
import type { BackupStore, BlobRef, EpochRef } from './store.ts'

// Wide enough for any safe integer, so that names sort as numbers do.
const DIGITS = 16
const NUMBERED = /^(\d{16})(\.json)?$/
const TRASH = '.trash-'

/**
 * A directory that all pods share: `<root>/sessions/<id>/<epoch>/<sequence>.json` and `<epoch>/blobs/<sha256>`.
 *
 * Takes no locks, so it also works on NFS and EFS. Every file is written under a temporary name in its own directory, synced, renamed;
 * directories are synced before a manifest is. Files are readable by owner and group only. The root must exist: a share that is
 * not mounted is an error, not a new empty store.
 */
export class FsStore implements BackupStore {
  readonly url: string
  readonly slots = new Limiter(8)
  readonly #root: string

  /** @param root absolute path of a directory that exists */
  constructor(root: string) {
    this.url = `fs:${root}`
    this.#root = root
  }

  async epochs(sessionId: string): Promise<readonly number[]> {
    const names = await this.#list(this.#session(sessionId))
    return numbers(names, '')
  }

  async fence(at: EpochRef): Promise<void> {
    const epoch = this.#epoch(at)
    const chain = [join(this.#root, 'sessions'), this.#session(at.sessionId), epoch, join(epoch, 'blobs')]
    for (const directory of chain) {
      await this.#guard(`make ${directory}`, async () => {
        await makeDirectory(directory)
        await syncDirectory(dirname(directory))
      })
    }
  }

  async sequences(at: EpochRef): Promise<readonly number[]> {
    return numbers(await this.#list(this.#epoch(at)), '.json')
  }

  async readManifest(at: EpochRef, sequence: number): Promise<Buffer> {
    const path = this.#manifest(at, sequence)
    return this.#guard(`read ${path}`, async () => {
      const { size } = await lstat(path).catch(missingObject(path))
      if (size > MAX_MANIFEST_BYTES) throw new BackupDamagedError(`manifest: ${size} bytes are too many`)
      return await readFile(path).catch(missingObject(path))
    })
  }

  async writeManifest(at: EpochRef, sequence: number, data: Buffer): Promise<void> {
    const path = this.#manifest(at, sequence)
    await this.#guard(`write ${path}`, async () => {
      await syncDirectory(join(this.#epoch(at), 'blobs'))
      await writeDurably(path, { data, place: placeOnce })
      await syncDirectory(dirname(path))
    })
  }

  async removeManifest(at: EpochRef, sequence: number): Promise<void> {
    await this.#remove(this.#manifest(at, sequence))
  }

  async blobs(at: EpochRef): Promise<readonly string[]> {
    const names = await this.#list(join(this.#epoch(at), 'blobs'))
    return names.filter(name => /^[0-9a-f]{64}$/.test(name))
  }

  async readBlob(at: EpochRef, blob: BlobRef): Promise<Buffer<ArrayBuffer>> {
    const path = this.#blob(at, blob.sha256)
    return this.#guard(`read ${path}`, async () => {
      await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(missingObject(path))
      const { size } = await file.stat()
      if (size !== blob.size) throw new BackupDamagedError(`blob ${blob.sha256}: ${size} bytes, not ${blob.size}`)
      return await file.readFile()
    })
  }

  async writeBlob(at: EpochRef, sha256: string, data: Buffer): Promise<void> {
    const path = this.#blob(at, sha256)
    await this.#guard(`write ${path}`, () => writeDurably(path, { data, place: rename }))
  }

  async bringBlob(from: EpochRef, to: EpochRef, sha256: string): Promise<boolean> {
    const [source, path] = [this.#blob(from, sha256), this.#blob(to, sha256)]
    return this.#guard(`link ${path}`, async () => {
      try {
        await link(source, path)
        return true
      } catch (error) {
        if (hasCode(error, 'EEXIST')) return true
        if (hasCode(error, 'ENOENT')) return await sourceIsGone(source, error)
        // No hard links here (some shares), too many on this file, or not ours to link.
        if (hasCode(error, 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV'))
          return await copyDurably(source, path)
        throw error
      }
    })
  }

  async removeBlob(at: EpochRef, sha256: string): Promise<void> {
    await this.#remove(this.#blob(at, sha256))
  }

  async removeEpoch(at: EpochRef): Promise<void> {
    await this.#discard(this.#epoch(at))
    const session = this.#session(at.sessionId)
    const leftovers = (await this.#list(session)).filter(name => name.startsWith(TRASH))
    await Promise.all(leftovers.map(name => removeAll(join(session, name))))
  }

  async removeSession(sessionId: string): Promise<void> {
    await this.#discard(this.#session(sessionId))
  }

  /** Moves a directory out of the readers' sight in one step, then removes it. */
  async #discard(directory: string): Promise<void> {
    const trash = join(dirname(directory), `${TRASH}${basename(directory)}-${randomUUID()}`)
    await this.#guard(`remove ${directory}`, async () => {
      try {
        await rename(directory, trash)
      } catch (error) {
        if (hasCode(error, 'ENOENT')) return
        throw error
      }
      await syncDirectory(dirname(directory))
      await removeAll(trash)
    })
  }

  async #remove(path: string): Promise<void> {
    await this.#guard(`remove ${path}`, () => rm(path, { force: true }))
  }

  async #list(directory: string): Promise<string[]> {
    return this.#guard(`list ${directory}`, async () => {
      try {
        return await readdir(directory)
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error
        await lstat(this.#root)
        return []
      }
    })
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw await storeFault(error, { what, root: this.#root })
    }
  }

  #session(sessionId: string): string {
    if (!isDnsLabel(sessionId)) throw new StoreUnavailableError('store-failed', 'session id is not a DNS label')
    return join(this.#root, 'sessions', sessionId)
  }

  #epoch(at: EpochRef): string {
    return join(this.#session(at.sessionId), padded(at.epoch))
  }

  #manifest(at: EpochRef, sequence: number): string {
    return join(this.#epoch(at), `${padded(sequence)}.json`)
  }

  #blob(at: EpochRef, sha256: string): string {
    return join(this.#epoch(at), 'blobs', sha256)
  }
}

function padded(value: number): string {
  return String(value).padStart(DIGITS, '0')
}

function numbers(names: readonly string[], suffix: string): number[] {
  const found = names.map(name => NUMBERED.exec(name)).filter(match => match !== null)
  return found
    .filter(match => (match[2] ?? '') === suffix)
    .map(match => Number(match[1]))
    .toSorted((a, b) => a - b)
}

function missingObject(path: string): (error: unknown) => never {
  return error => {
    throw hasCode(error, 'ENOENT') ? new ObjectMissingError(`${path} is missing`, { cause: error }) : error
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, 0o770)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await directory.sync()
  } catch (error) {
    // Some network file systems cannot sync a directory: their renames are durable once they return.
    if (!hasCode(error, 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP')) throw error
  }
}

type Place = (temporary: string, path: string) => Promise<void>

async function writeDurably(path: string, options: { data: Buffer; place: Place }): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${randomUUID()}`)
  try {
    await writeSynced(temporary, options.data)
    await options.place(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw error
  }
}

async function writeSynced(path: string, data: Buffer): Promise<void> {
  await using file = await open(path, 'wx', 0o640)
  await file.writeFile(data)
  await file.sync()
}

/** Like rename, but never replaces: a hard link fails where the name is taken. */
async function placeOnce(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    // A share without hard links: one writer per epoch is then the registry's promise alone.
    if (hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) return rename(temporary, path)
    if (!hasCode(error, 'EEXIST')) throw error
    // NFS repeats a request whose answer got lost, and then refuses its own link.
    const [ours, theirs] = await Promise.all([readFile(temporary), readFile(path)])
    if (!ours.equals(theirs)) throw new ManifestExistsError(`${path} is taken`, { cause: error })
  }
  await unlink(temporary)
}

async function copyDurably(source: string, path: string): Promise<boolean> {
  const temporary = join(dirname(path), `.tmp-${randomUUID()}`)
  try {
    await copyFile(source, temporary, constants.COPYFILE_EXCL)
    await using file = await open(temporary, 'r+')
    await file.sync()
    await rename(temporary, path)
    return true
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    if (hasCode(error, 'ENOENT')) return sourceIsGone(source, error)
    throw error
  }
}

/** False when it is the source that is missing; throws what happened when it is the target's directory. */
async function sourceIsGone(source: string, error: unknown): Promise<false> {
  const there = await lstat(source).then(
    () => true,
    () => false
  )
  if (there) throw error
  return false
}

async function removeAll(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 })
}
