import { randomUUID } from 'node:crypto'
import { mkdir, readFile, readdir, realpath, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDnsLabel } from '../../lib/ids.ts'
import { errorText } from '../../lib/errors.ts'
import { lockFile } from '../../lib/lock-file.ts'
import type { Logger } from '../../lib/log.ts'
import { removeTree } from '../backup/remove-tree.ts'

/** What is known of the files that a session left on this machine. */
export interface LocalState {
  readonly epoch: number
  /** The run of the pod that wrote it. */
  readonly bootId: string
  readonly agent: string
  readonly createdAt: number
}

/**
 * The pod's own disk: `sessions/<id>/files` is a session's directory, `sessions/<id>/state.json` says what epoch it is of,
 * `uploads/` takes files that are on their way in, `trash/` what is to be removed. One pod uses a data directory at a time.
 */
export class DataDirectory {
  readonly root: string
  readonly #machineBoot: string
  readonly #log: Logger
  readonly #unlock: () => Promise<void>
  readonly #removals = new Set<Promise<void>>()

  private constructor(root: string, options: { machineBoot: string; unlock: () => Promise<void>; log: Logger }) {
    this.root = root
    this.#unlock = options.unlock
    this.#machineBoot = options.machineBoot
    this.#log = options.log
  }

  /** Makes the directories and empties those that hold leftovers of a run before. Throws, with code `config`, where another process uses it. */
  static async open(path: string, log: Logger): Promise<DataDirectory> {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const machineBoot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    const root = await realpath(path)
    const unlock = await lockFile(join(root, 'lock'), 'dataDirectory')
    const directory = new DataDirectory(root, { machineBoot, unlock, log })
    // What a session left must not keep the pod from starting.
    for (const name of ['uploads', 'trash']) {
      const leftovers = join(root, name)
      await removeTree(leftovers).catch((error: unknown) => {
        log.warn({ path: leftovers, reason: errorText(error) }, 'cannot remove what an earlier run left')
      })
    }
    for (const name of ['sessions', 'uploads', 'trash']) {
      await mkdir(join(directory.root, name), { recursive: true, mode: 0o700 })
    }
    return directory
  }

  /** Directory above all sessions', with a slash at the end. */
  get sessionsPrefix(): string {
    return `${join(this.root, 'sessions')}/`
  }

  /** The directory that a session's commands see. */
  filesOf(id: string): string {
    return join(this.root, 'sessions', id, 'files')
  }

  /** A fresh path on the same file system, for a file that is renamed into a session once it is whole. */
  uploadPath(): string {
    return join(this.root, 'uploads', randomUUID())
  }

  /** Makes an empty directory for a session; whatever was there is discarded. */
  async makeEmpty(id: string): Promise<void> {
    await this.discard(id)
    await mkdir(this.filesOf(id), { recursive: true, mode: 0o700 })
  }

  /** Ids that have something on this disk. */
  async ids(): Promise<string[]> {
    return (await readdir(this.sessionsPrefix)).filter(isDnsLabel)
  }

  /**
   * What this disk holds whole of a session, or null. Files that a crash of the machine may have torn do not count:
   * they were written without fsync, and the backup is the better source then.
   */
  async read(id: string): Promise<LocalState | null> {
    try {
      const text = await readFile(this.#stateFile(id), 'utf8')
      await readdir(this.filesOf(id))
      return asLocalState(JSON.parse(text), this.#machineBoot)
    } catch (error) {
      if (!isMissing(error)) this.#log.warn({ session: id, reason: errorText(error) }, 'local state unreadable')
      return null
    }
  }

  /** Says that the directory holds the session's whole state as of this epoch. */
  async write(id: string, state: LocalState): Promise<void> {
    const temporary = `${this.#stateFile(id)}.new`
    await writeFile(temporary, JSON.stringify({ ...state, machineBoot: this.#machineBoot }), { mode: 0o600 })
    await rename(temporary, this.#stateFile(id))
  }

  /** Takes a session's directory away at once; its content is removed in the background. Fine when there is none. */
  async discard(id: string): Promise<void> {
    const trash = join(this.root, 'trash', randomUUID())
    try {
      await rename(join(this.root, 'sessions', id), trash)
    } catch (error) {
      if (isMissing(error)) return
      throw error
    }
    const removal = removeTree(trash).catch((error: unknown) => {
      this.#log.warn({ session: id, path: trash, reason: errorText(error) }, 'cannot remove discarded files')
    })
    this.#removals.add(removal)
    void removal.finally(() => this.#removals.delete(removal))
  }

  /** Resolves when what was discarded is removed, and gives the directory free. */
  async close(): Promise<void> {
    await Promise.all(this.#removals)
    await this.#unlock()
  }

  #stateFile(id: string): string {
    return join(this.root, 'sessions', id, 'state.json')
  }
}

function asLocalState(value: unknown, machineBoot: string): LocalState | null {
  if (typeof value !== 'object' || value === null) return null
  if (!('machineBoot' in value) || value.machineBoot !== machineBoot) return null
  if (!('epoch' in value) || typeof value.epoch !== 'number') return null
  if (!('agent' in value) || typeof value.agent !== 'string') return null
  if (!('createdAt' in value) || typeof value.createdAt !== 'number') return null
  if (!('bootId' in value) || typeof value.bootId !== 'string') return null
  return { epoch: value.epoch, bootId: value.bootId, agent: value.agent, createdAt: value.createdAt }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
