import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openStore } from '../../../pod/backup/open-store.ts'
import { backupOf, workplace } from './tree.ts'
import type { Test } from 'tap'

async function place(test: Test) {
  const base = workplace(test)
  const [root, directory, copy] = [join(base, 'store'), join(base, 'a'), join(base, 'copy')]
  for (const path of [root, directory]) mkdirSync(path)
  const store = openStore(`fs:${root}`)
  const backup = backupOf(store, directory)
  await backup.open(1)
  const restore = async () => {
    await rm(copy, { recursive: true, force: true })
    await backupOf(store, copy).restore()
    return copy
  }
  return { base, root, directory, backup, restore }
}

async function busy(test: Test, ...args: readonly string[]): Promise<void> {
  const child = fork(new URL('busy-child.ts', import.meta.url), args)
  test.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  await once(child, 'message')
}

/**
 * The newest round in a file that is overwritten from its beginning, round after round, or what shows that it is no moment of that file.
 * The writer may be held up within a round, even within one write: then the file really is new up to there and one round older behind.
 */
function momentOf(path: string): string {
  const data = readFileSync(path)
  const letters = data.toString('latin1').replaceAll(/(.)\1*/gs, '$1')
  const [newest = '', older] = letters
  const isMoment = older === undefined || (letters.length === 2 && before(newest) === older)
  return data.length === 1_000_000 && isMoment ? newest : `${data.length} bytes, mixed: ${letters}`
}

function before(letter: string): string {
  return letter === 'a' ? 'z' : String.fromCharCode(letter.charCodeAt(0) - 1)
}

for (const deed of ['overwrite with rests', 'overwrite', 'replace'])
  t.test(`a backup never mixes two moments of a file (${deed})`, async t => {
    const { directory, backup, restore } = await place(t)
    const file = join(directory, 'f')
    writeFileSync(file, Buffer.alloc(1_000_000, 'z'))
    await backup.save()
    await busy(t, deed, file)
    const seen = new Set<string>()
    const outcomes = new Set<string>()
    const until = Date.now() + 2000
    while (Date.now() < until) {
      const { unstable } = await backup.save()
      for (const { path, saved } of unstable) if (path === 'f') outcomes.add(saved)
      const copy = join(await restore(), 'f')
      if (existsSync(copy)) seen.add(momentOf(copy))
    }
    t.strictSame(
      [...seen].filter(letter => letter.length > 1),
      [],
      'no mixture'
    )
    t.ok(seen.size > 0)
    t.notOk(outcomes.has('nothing'), 'the content of the backup before stands')
    if (deed === 'replace') t.ok(seen.size > 3, 'a file that is replaced whole is saved again and again')
    if (deed === 'overwrite') t.strictSame([...outcomes], ['previous'])
  })

t.test('a file that never stands still from the start is named, and the rest is saved', async t => {
  const { base, directory } = await place(t)
  writeFileSync(join(directory, 'f'), Buffer.alloc(1_000_000, 'z'))
  writeFileSync(join(directory, 'calm'), 'c')
  await busy(t, 'overwrite', join(directory, 'f'))
  // A writer that the machine does not let run stands still.
  for (let round = 0; round < 50; round++) {
    const root = join(base, `store${round}`)
    mkdirSync(root)
    const backup = backupOf(openStore(`fs:${root}`), directory)
    await backup.open(1)
    const { unstable } = await backup.save()
    if (unstable.length === 0) continue
    t.strictSame(unstable, [{ path: 'f', saved: 'nothing' }])
    await backupOf(openStore(`fs:${root}`), join(base, 'copy')).restore()
    t.strictSame(readdirSync(join(base, 'copy')), ['calm'])
    return
  }
  t.fail('it stood still')
})

t.test('a file that grows all the time is saved as far as it had come', async t => {
  const { directory, backup, restore } = await place(t)
  const file = join(directory, 'log')
  writeFileSync(file, '')
  await busy(t, 'append', file)
  let last = 0
  for (let round = 0; round < 5; round++) {
    while (statSync(file).size <= last) await sleep(1)
    const { unstable } = await backup.save()
    const text = readFileSync(join(await restore(), 'log'), 'utf8')
    t.ok(readFileSync(file, 'utf8').startsWith(text))
    t.ok(text.length > last, 'it gets on')
    last = text.length
    for (const { saved } of unstable) t.equal(saved, 'prefix')
  }
})

t.test('files and directories that come and go during a save do no harm', async t => {
  const { directory, backup, restore } = await place(t)
  writeFileSync(join(directory, 'calm'), 'c')
  await busy(t, 'come and go', join(directory, 'd'))
  for (let round = 0; round < 30; round++) {
    await backup.save()
    t.equal(readFileSync(join(await restore(), 'calm'), 'utf8'), 'c')
  }
})

t.test('a directory swapped for a link at any moment never leads a backup outside', async t => {
  const { base, root, directory, backup } = await place(t)
  mkdirSync(join(base, 'outside'))
  mkdirSync(join(directory, 'd'))
  for (let file = 0; file < 20; file++) {
    writeFileSync(join(base, `outside/f${file}`), `OUTSIDE ${file}`)
    writeFileSync(join(directory, `d/f${file}`), `inside ${file}`)
  }
  await busy(t, 'swap for a link', join(directory, 'd'), join(base, 'outside'))
  const until = Date.now() + 2000
  let saves = 0
  const found = new Set<string>()
  const blobs = join(root, 'sessions/s/0000000000000001/blobs')
  while (Date.now() < until) {
    await backup.save()
    // Changes the files, so that each save reads them.
    for (let file = 0; file < 20; file++) writeFileSync(join(base, `outside/f${file}`), `OUTSIDE ${file} ${saves}`)
    for (const name of readdirSync(blobs)) found.add(readFileSync(join(blobs, name), 'utf8').slice(0, 7))
    saves++
  }
  t.ok(saves > 20, `${saves} saves`)
  t.ok(found.has('inside '), 'the twin: what is inside is saved')
  t.notOk(found.has('OUTSIDE'))
})
