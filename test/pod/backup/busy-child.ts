/** Changes things in a session's directory without a pause until it is killed. Arguments: what to do, the path to do it to, a further path. */
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const [deed = '', path = '', other = ''] = process.argv.slice(2)
const SIZE = 1_000_000

/** One letter per round, so that a mixture of two rounds shows. */
function page(round: number): Buffer {
  return Buffer.alloc(SIZE, 'abcdefghijklmnopqrstuvwxyz'[round % 26])
}

function overwrite(round: number): void {
  const file = openSync(path, 'r+')
  writeSync(file, page(round), 0, SIZE, 0)
  closeSync(file)
}

const deeds: Record<string, (round: number) => void | Promise<void>> = {
  overwrite,
  'overwrite with rests': async round => {
    overwrite(round)
    await sleep((round * 7) % 60)
  },
  replace: round => {
    writeFileSync(`${path}.new`, page(round))
    renameSync(`${path}.new`, path)
  },
  append: async round => {
    appendFileSync(path, `line ${round}\n`)
    await sleep(1)
  },
  'come and go': round => {
    mkdirSync(`${path}/deep/er`, { recursive: true })
    for (let file = 0; file < 20; file++) writeFileSync(`${path}/deep/er/f${file}`, `${round}`)
    rmSync(path, { recursive: true })
  },
  'swap for a link': () => {
    renameSync(path, `${path}.aside`)
    symlinkSync(other, path)
    unlinkSync(path)
    renameSync(`${path}.aside`, path)
  }
}

process.send?.('ready')
for (let round = 0; ; round++) await deeds[deed]?.(round)
