import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeDirectoryBeneath, nameIn, openBeneath } from '../../../pod/files/open-beneath.ts'
import { parseSessionPath } from '../../../pod/files/session-path.ts'

const outer = await mkdtemp(join(tmpdir(), 'fairlead-beneath-'))
t.teardown(() => rm(outer, { recursive: true, force: true }))
const root = join(outer, 'root')
await mkdir(join(root, 'dir', 'deep'), { recursive: true })
await mkdir(join(outer, 'root-twin'))
await writeFile(join(outer, 'secret'), 'SECRET')
await writeFile(join(outer, 'root-twin', 'secret'), 'SECRET')
await writeFile(join(root, 'dir', 'file'), 'inside')

const LINKS: Readonly<Record<string, string>> = {
  'to-file': 'dir/file',
  'to-dir': 'dir',
  'dir/up': '../dir/file',
  'dir/deep/far': '../../to-dir/file',
  'absolute-in': join(root, 'dir/file'),
  'to-root': root,
  'out-relative': '../secret',
  'out-absolute': join(outer, 'secret'),
  'out-twin': join(outer, 'root-twin', 'secret'),
  'out-dir': '..',
  'out-by-dots': join(root, '../secret'),
  'dir/deep/out': '../../../secret',
  loop: 'loop',
  'loop-a': 'loop-b',
  'loop-b': 'loop-a',
  dangling: 'nowhere'
}
for (const [name, target] of Object.entries(LINKS)) await symlink(target, join(root, name))

async function read(path: string): Promise<string> {
  await using file = await openBeneath(root, parseSessionPath(path))
  return file.readFile('utf8')
}

for (const path of [
  'dir/file',
  '/dir/file',
  './dir//file',
  'to-file',
  'to-dir/file',
  'dir/up',
  'dir/deep/far',
  'absolute-in',
  'to-root/dir/file',
  'to-root/to-root/to-dir/up'
]) {
  t.test(`inside: ${path}`, async t => {
    t.equal(await read(path), 'inside')
  })
}

for (const path of [
  '../secret',
  'dir/../../secret',
  'dir/../dir/file',
  '..',
  'out-relative',
  'out-absolute',
  'out-twin',
  'out-dir',
  'out-dir/secret',
  'out-by-dots',
  'dir/deep/out'
]) {
  t.test(`outside: ${path}`, async t => {
    await t.rejects(read(path), { code: 'outside' })
  })
}

t.test('the same helper does read what links lead to where that is inside', async t => {
  t.equal(await read('to-file'), 'inside')
})

for (const [path, code] of [
  ['nowhere', 'path-missing'],
  ['dangling', 'path-missing'],
  ['dir/file/x', 'path-missing'],
  ['loop', 'bad-path'],
  ['loop-a', 'bad-path'],
  ['n'.repeat(300), 'bad-path']
] as const) {
  t.test(`${path.slice(0, 20)} is ${code}`, async t => {
    await t.rejects(read(path), { code })
  })
}

t.test('a NUL is refused before anything is opened', async t => {
  t.throws(() => parseSessionPath('a\0b'), { code: 'bad-path' })
})

t.test('a FIFO does not block, and a root that was swapped for a link is not followed', async t => {
  const fifo = spawn('mkfifo', [join(root, 'fifo')])
  await once(fifo, 'exit')
  await using file = await openBeneath(root, ['fifo'])
  t.notOk((await file.stat()).isFile())
  await symlink(outer, join(outer, 'swapped'))
  await t.rejects(openBeneath(join(outer, 'swapped'), ['secret']))
})

t.test('missing directories are made beneath only', async t => {
  await using made = await makeDirectoryBeneath(root, ['new', 'a', 'b'])
  await writeFile(nameIn(made, 'x'), '')
  t.same(await readdir(join(root, 'new', 'a', 'b')), ['x'])
  await t.rejects(makeDirectoryBeneath(root, ['out-dir', 'made']), { code: 'outside' })
  await t.rejects(makeDirectoryBeneath(root, ['dir', 'file', 'made']))
  t.notOk((await readdir(outer)).includes('made'))
})

t.test('a command that swaps a directory for a link out never gets the outside read', async t => {
  await mkdir(join(root, 'race'))
  await mkdir(join(outer, 'race-target'))
  await writeFile(join(outer, 'race-target', 'name'), 'SECRET')
  await writeFile(join(root, 'race', 'name'), 'inside')
  const script = `cd ${root} && while :; do mv race aside; ln -s ../race-target race; rm race; mv aside race; done`
  const swapper = spawn('sh', ['-c', script])
  t.teardown(() => swapper.kill('SIGKILL'))
  const seen = new Map<string, number>()
  for (let i = 0; i < 2_000; i += 1) {
    const outcome = await read('race/name').catch((error: unknown) => String(Object(error)['code']))
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
  }
  t.notOk(seen.has('SECRET'), 'the outside was never read')
  t.ok(seen.has('inside'), 'the inside was')
  t.comment(Object.fromEntries(seen))
})
