import { mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import t from 'tap'
import { entriesJson, serializeManifest } from '../../../pod/backup/manifest.ts'
import { openStore } from '../../../pod/backup/open-store.ts'
import { SessionBackup } from '../../../pod/backup/session-backup.ts'
import { backupOf, workplace } from './tree.ts'
import type { Test } from 'tap'

/** Epoch 1 with backups 1 and 2, epoch 2 with 1: the file `f` says which. */
async function history(test: Test) {
  const base = workplace(test)
  const [root, directory] = [join(base, 'store'), join(base, 'a')]
  for (const path of [root, directory]) mkdirSync(path)
  const backup = backupOf(openStore(`fs:${root}`), directory)
  for (const [epoch, text] of [
    [1, '1/1'],
    [1, '1/2'],
    [2, '2/1']
  ] as const) {
    await backup.open(epoch)
    writeFileSync(join(directory, 'f'), text)
    writeFileSync(join(directory, 'kept'), 'the same in all')
    await backup.save()
    await backup.idle()
  }
  return { base, root, store: openStore(`fs:${root}`) }
}

function epochPath(root: string, epoch: number): string {
  return join(root, 'sessions/s', String(epoch).padStart(16, '0'))
}

function manifestPath(root: string, epoch: number, sequence: number): string {
  return join(epochPath(root, epoch), `${String(sequence).padStart(16, '0')}.json`)
}

/** The blob of one epoch that holds this text. */
function blobPath(root: string, epoch: number, text: string): string {
  const blobs = join(epochPath(root, epoch), 'blobs')
  const name = readdirSync(blobs).find(blob => readFileSync(join(blobs, blob), 'utf8') === text)
  if (name === undefined) throw new Error(`no blob holds ${text}`)
  return join(blobs, name)
}

/** Restores with a log; says what `f` holds, what was passed over, and how loudly. */
async function outcome(base: string, root: string) {
  const lines: string[] = []
  const sink = new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) })
  const directory = join(base, 'restored')
  const backup = new SessionBackup({ store: openStore(`fs:${root}`), sessionId: 's', directory, log: pino(sink) })
  const report = await backup.restore()
  return {
    report,
    text: readFileSync(join(directory, 'f'), 'utf8'),
    errors: lines.filter(line => line.includes('"level":50'))
  }
}

const damages: Record<string, (root: string) => void> = {
  'a truncated blob': root => truncateSync(blobPath(root, 2, '2/1'), 1),
  'a lengthened blob': root => writeFileSync(blobPath(root, 2, '2/1'), 'x', { flag: 'a' }),
  'a corrupted blob': root => writeFileSync(blobPath(root, 2, '2/1'), '9/9'),
  'a missing blob': root => rmSync(blobPath(root, 2, '2/1')),
  'a truncated manifest': root => truncateSync(manifestPath(root, 2, 1), 100),
  'an empty manifest': root => truncateSync(manifestPath(root, 2, 1), 0),
  'a corrupted manifest': root => {
    const text = readFileSync(manifestPath(root, 2, 1), 'utf8')
    writeFileSync(manifestPath(root, 2, 1), text.replace('kept', 'KEPT'))
  },
  'a manifest of another session': root => {
    const head = { sessionId: 'other', epoch: 2, sequence: 1, createdAt: 0, writer: 'w', continues: null }
    const text = entriesJson([{ type: 'directory', path: '', mode: 0o755, mtimeNs: 0n }])
    writeFileSync(manifestPath(root, 2, 1), serializeManifest(head, text))
  }
}

for (const [name, damage] of Object.entries(damages))
  t.test(`${name}: the backup before is used, loudly`, async t => {
    const { base, root } = await history(t)
    damage(root)
    const { report, text, errors } = await outcome(base, root)
    t.equal(text, '1/2')
    t.match(report, { restored: true, epoch: 1, sequence: 2, skipped: [{ epoch: 2, sequence: 1, reason: /./ }] })
    t.equal(report.skipped.length, 1)
    t.equal(errors.length, 1)
    t.match(errors[0], /"epoch":2,"sequence":1/)
    t.strictSame(readdirSync(base).toSorted(), ['a', 'restored', 'store'], 'nothing half-done beside it')
  })

t.test('without damage the newest is used, quietly', async t => {
  const { base, root } = await history(t)
  const { report, text, errors } = await outcome(base, root)
  t.equal(text, '2/1')
  t.strictSame(report.skipped, [])
  t.equal(errors.length, 0)
})

t.test('damage upon damage goes further back', async t => {
  const { base, root } = await history(t)
  rmSync(blobPath(root, 2, '2/1'))
  rmSync(manifestPath(root, 1, 2))
  const { report, text } = await outcome(base, root)
  t.equal(text, '1/1')
  t.match(report.skipped, [
    { epoch: 2, sequence: 1 },
    { epoch: 1, sequence: 2, reason: /missing/ }
  ])
})

t.test('when nothing is good it is an error, never an empty session', async t => {
  const { base, root } = await history(t)
  for (const epoch of [1, 2]) rmSync(blobPath(root, epoch, 'the same in all'))
  const directory = join(base, 'restored')
  await t.rejects(backupOf(openStore(`fs:${root}`), directory).restore(), {
    code: 'backup-damaged',
    message: /2\/1.*1\/2.*1\/1/
  })
  t.strictSame(readdirSync(base).toSorted(), ['a', 'store'])
})

t.test('an epoch that went on from a backup which is gone is an error too', async t => {
  const { base, root } = await history(t)
  rmSync(epochPath(root, 1), { recursive: true })
  rmSync(manifestPath(root, 2, 1))
  await t.rejects(backupOf(openStore(`fs:${root}`), join(base, 'restored')).restore(), { code: 'backup-damaged' })
})

t.test('what a fenced writer left behind after the move never counts', async t => {
  const { base, root } = await history(t)
  const late = { sessionId: 's', epoch: 1, sequence: 3, createdAt: 0, writer: 'w', continues: null }
  const text = entriesJson([{ type: 'directory', path: '', mode: 0o755, mtimeNs: 0n }])
  writeFileSync(manifestPath(root, 1, 3), serializeManifest(late, text))
  rmSync(blobPath(root, 2, '2/1'))
  const { report } = await outcome(base, root)
  t.match(report, { epoch: 1, sequence: 2 })
})

t.test('content that was found damaged is written anew, not referred to again', async t => {
  const { base, root, store } = await history(t)
  const directory = join(base, 'next')
  const backup = backupOf(store, directory)
  await backup.open(3)
  writeFileSync(blobPath(root, 2, '2/1'), '9/9')
  await backup.restore()
  writeFileSync(join(directory, 'f'), '2/1')
  await backup.save()
  t.equal((await outcome(base, root)).text, '2/1')
})

t.test('content damaged in the own epoch is written anew after a restore there', async t => {
  const { base, root, store } = await history(t)
  const directory = join(base, 'next')
  const backup = backupOf(store, directory)
  await backup.open(2)
  writeFileSync(blobPath(root, 2, '2/1'), '9/9')
  t.match(await backup.restore(), { epoch: 1, sequence: 2 })
  writeFileSync(join(directory, 'f'), '2/1')
  await backup.save()
  const { report, text } = await outcome(base, root)
  t.equal(text, '2/1')
  t.match(report, { epoch: 2, sequence: 2, skipped: [] })
})

t.test('a blob that is a symbolic link is not followed', async t => {
  const { base, root } = await history(t)
  const blob = blobPath(root, 2, '2/1')
  writeFileSync(join(base, 'a/f'), '2/1')
  rmSync(blob)
  symlinkSync(join(base, 'a/f'), blob)
  const directory = join(base, 'restored')
  await t.rejects(backupOf(openStore(`fs:${root}`), directory).restore(), { code: 'store-failed' })
})
