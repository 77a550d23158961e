import t from 'tap'
import { pathOf } from '../../../pod/backup/byte-path.ts'
import { entriesJson, serializeManifest } from '../../../pod/backup/manifest.ts'
import { parseManifest } from '../../../pod/backup/parse-manifest.ts'
import type { Entry } from '../../../pod/backup/manifest.ts'

const sha256 = 'a'.repeat(64)
const id = { sessionId: 's', epoch: 7, sequence: 3 }
const head = { ...id, createdAt: 1_790_000_000_000, writer: 'w', continues: { epoch: 5, sequence: 2 } }
const top: Entry = { type: 'directory', path: '', mode: 0o755, mtimeNs: -5n }
const file: Entry = {
  type: 'file',
  path: 'f',
  mode: 0o4600,
  mtimeNs: 1_790_000_000_123_456_789n,
  size: 5,
  blobs: [{ sha256, size: 5 }]
}

t.test('what is written is what is read, whatever the names', async t => {
  const odd = pathOf(Buffer.from([0xff, 0x0a, 0x2e, 0x2e]))
  const entries: Entry[] = [
    top,
    { ...top, path: '__proto__' },
    { ...file, path: '__proto__/hasOwnProperty' },
    { ...file, path: odd, size: 0, blobs: [] },
    { type: 'symlink', path: 'l', target: '../../etc/passwd', mtimeNs: 0n },
    { type: 'link', path: 'z', to: '__proto__/hasOwnProperty' }
  ]
  t.strictSame(parseManifest(serializeManifest(head, entriesJson(entries)), id), { ...head, entries })
  const opening = { ...head, sequence: 0, continues: null }
  t.strictSame(parseManifest(serializeManifest(opening, 'null'), { ...id, sequence: 0 }), { ...opening, entries: null })
})

t.test('every truncation and every flipped byte is noticed', async t => {
  const good = serializeManifest(head, entriesJson([top, file]))
  for (let length = 0; length < good.length; length++)
    t.throws(() => parseManifest(good.subarray(0, length), id), { code: 'backup-damaged' }, `cut at ${length}`)
  for (let index = 0; index < good.length; index++) {
    const bad = Buffer.from(good)
    bad[index] = (bad[index] ?? 0) ^ 1
    t.throws(() => parseManifest(bad, id), { code: 'backup-damaged' }, `flipped at ${index}`)
  }
  t.throws(() => parseManifest(Buffer.concat([good, good]), id), { code: 'backup-damaged' })
})

t.test('a good manifest in the wrong place is refused', async t => {
  const good = serializeManifest(head, entriesJson([top]))
  for (const wrong of [
    { ...id, sessionId: 't' },
    { ...id, epoch: 6 },
    { ...id, sequence: 4 }
  ])
    t.throws(() => parseManifest(good, wrong), { message: /it is not backup/ })
})

/** A manifest with a right checksum over entries as an attacker would write them. */
function hostile(...entries: readonly object[]): Buffer {
  return serializeManifest(head, JSON.stringify(entries))
}

t.test('no manifest leads out of the directory', async t => {
  const root = { type: 'directory', path: '', mode: 493, mtimeNs: '0' }
  const plain = { type: 'file', mode: 420, mtimeNs: '0', size: 0, blobs: [] }
  const link = { type: 'symlink', path: 'l', target: '/etc', mtimeNs: '0' }
  t.doesNotThrow(() => parseManifest(hostile(root, { ...plain, path: 'f' }, link), id), 'the twin that is fine')
  const out = ['../x', '..', '.', '/etc/x', '//x', 'a/../../x', './x', 'x/', 'x//y', 'x\0y', '\ud800']
  for (const path of [
    ...out,
    { base64: Buffer.from('../x').toString('base64') },
    { base64: '!!' },
    7,
    null,
    { base64: 'Lg' }
  ])
    t.throws(
      () => parseManifest(hostile(root, { ...plain, path }), id),
      { code: 'backup-damaged' },
      JSON.stringify(path)
    )
  const cases: Record<string, object[]> = {
    'through a symbolic link': [root, link, { ...plain, path: 'l/x' }],
    'through a file': [root, { ...plain, path: 'f' }, { ...plain, path: 'f/x' }],
    'below nothing': [root, { ...plain, path: 'd/x' }],
    'parent after child': [root, { ...plain, path: 'd/x' }, { ...root, path: 'd' }],
    'there twice': [root, { ...root, path: 'd' }, { ...link, path: 'd' }, { ...plain, path: 'd/x' }],
    'the directory itself a link': [{ ...link, path: '' }],
    'the directory itself missing': [{ ...root, path: 'd' }],
    'hard link to outside': [root, { type: 'link', path: 'h', to: '../x' }],
    'hard link to a symbolic link': [root, link, { type: 'link', path: 'm', to: 'l' }],
    'hard link to itself': [root, { type: 'link', path: 'h', to: 'h' }]
  }
  for (const [name, entries] of Object.entries(cases))
    t.throws(() => parseManifest(hostile(...entries), id), { code: 'backup-damaged' }, name)
})

t.test('fields of the wrong type or range are refused', async t => {
  const root = { type: 'directory', path: '', mode: 493, mtimeNs: '0' }
  const plain = { type: 'file', path: 'f', mode: 420, mtimeNs: '0', size: 5, blobs: [{ sha256, size: 5 }] }
  t.doesNotThrow(() => parseManifest(hostile(root, plain), id), 'the twin that is fine')
  const wrong = [
    { mode: -1 },
    { mode: 0o10000 },
    { mode: '493' },
    { mtimeNs: 0 },
    { mtimeNs: '1e9' },
    { mtimeNs: '9'.repeat(30) },
    { size: 4 },
    { size: -1 },
    { size: 2 ** 60, blobs: [] },
    { blobs: [{ sha256: '../../../etc/passwd', size: 5 }] },
    { blobs: [{ sha256: 'A'.repeat(64), size: 5 }] },
    { blobs: [{ sha256, size: 2 ** 31 }], size: 2 ** 31 },
    { blobs: [{ sha256, size: 0 }], size: 0 },
    { blobs: {} },
    { type: 'fifo' },
    { type: '__proto__' },
    { type: 'symlink', target: '' },
    { type: 'symlink', target: 'a\0b' }
  ]
  for (const change of wrong)
    t.throws(
      () => parseManifest(hostile(root, { ...plain, ...change }), id),
      { code: 'backup-damaged' },
      JSON.stringify(change)
    )
  for (const entries of ['null', '{}', '[null]', '[[]]', '7'])
    t.throws(() => parseManifest(serializeManifest(head, entries), id), { code: 'backup-damaged' }, entries)
})

t.test('an unknown version is refused', async t => {
  const text = serializeManifest(head, entriesJson([top])).toString()
  const { hash } = await import('node:crypto')
  const body = text.slice(text.indexOf('"manifest":') + 11, -2).replace('"version":1', '"version":2')
  const data = Buffer.from(`{"sha256":"${hash('sha256', body)}","manifest":${body}}\n`)
  t.throws(() => parseManifest(data, id), { message: /version 2/ })
})
