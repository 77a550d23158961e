/** A pod as far as its backups go, for tests to kill and freeze: restores session `s`, then changes and saves it over and over. Arguments: store root, directory, epoch, where to freeze. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FsStore } from '../../../pod/backup/fs-store.ts'
import { SessionBackup } from '../../../pod/backup/session-backup.ts'
import type { EpochRef } from '../../../pod/backup/store.ts'

const [root = '', directory = '', epoch = '1', freezeAt = 'never'] = process.argv.slice(2)

/** The real store, in a process that stops itself at a step. */
class FreezingStore extends FsStore {
  armed = false

  override async writeBlob(at: EpochRef, sha256: string, data: Buffer): Promise<void> {
    this.#freeze('before-blob')
    await super.writeBlob(at, sha256, data)
    this.#freeze('after-blob')
  }

  override async writeManifest(at: EpochRef, sequence: number, data: Buffer): Promise<void> {
    this.#freeze('before-manifest')
    await super.writeManifest(at, sequence, data)
    this.#freeze('after-manifest')
  }

  override async removeManifest(at: EpochRef, sequence: number): Promise<void> {
    this.#freeze('before-tidy')
    await super.removeManifest(at, sequence)
  }

  #freeze(step: string): void {
    if (!this.armed || step !== freezeAt) return
    this.armed = false
    process.kill(process.pid, 'SIGSTOP')
  }
}

const store = new FreezingStore(root)
const backup = new SessionBackup({ store, sessionId: 's', directory })
await backup.open(Number(epoch))
const { restored } = await backup.restore()
let generation = restored ? Number(readFileSync(join(directory, 'generation'), 'utf8')) : 0
process.send?.({ restored: generation })
for (let round = 0; ; round++) {
  generation++
  mkdirSync(join(directory, `d${generation % 3}`), { recursive: true })
  for (let file = 0; file < 8; file++)
    writeFileSync(join(directory, `d${generation % 3}`, `f${file}`), `${generation}-${file}`.repeat(50 * file))
  writeFileSync(join(directory, 'large'), Buffer.alloc(3_000_000, `${generation}`))
  writeFileSync(join(directory, 'generation'), `${generation}`)
  store.armed = round >= 4
  try {
    await backup.save()
  } catch (error) {
    process.send?.({ refused: error instanceof Error && 'code' in error ? error.code : String(error) })
    break
  }
  process.send?.({ saved: generation })
}
process.disconnect?.()
