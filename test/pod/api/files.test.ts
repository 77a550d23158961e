import { link, mkdir, readdir, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { as, makeGround, run, until } from '../fixtures/ground.ts'
import { form } from '../fixtures/http-call.ts'

const ground = await makeGround(t)
const pod = await ground.pod('one', { maxUpload: '64Ki', bodyTimeout: '500ms' })
const session = await ground.create(pod, 'alice')
const files = ground.filesOf('one', 'alice')
await writeFile(join(ground.root, 'secret'), 'SECRET')
await symlink(join(ground.root, 'secret'), join(files, 'out'))
await symlink('../../../../..', join(files, 'out-dir'))

const get = (target: string) => as(pod, session, `GET ${target}`)

t.test('what was uploaded comes back, byte for byte, with its length', async t => {
  const content = Buffer.from(Array.from({ length: 65_536 }, (_, i) => i % 256))
  const up = await as(pod, session, 'POST /upload', form('a/b c.bin', content))
  t.same(up.json(), { message: 'File uploaded.', path: 'a/b c.bin', size: 65_536 })
  const down = await get('/download/a%2Fb%20c.bin')
  t.equal(down.status, 200)
  t.equal(down.headers['content-length'], '65536')
  t.ok(down.bytes.equals(content))
  const head = await as(pod, session, 'HEAD /download/a/b%20c.bin')
  t.equal(head.headers['content-length'], '65536')
  t.equal(head.text, '')
})

t.test('an upload replaces a file, and a link instead of what it points to', async t => {
  await writeFile(join(files, 'target'), 'old')
  await symlink('target', join(files, 'link'))
  t.equal((await as(pod, session, 'POST /upload', form('link', 'new'))).status, 200)
  t.equal((await get('/download/link')).text, 'new')
  t.equal((await get('/download/target')).text, 'old')
  t.equal((await as(pod, session, 'POST /upload', form('empty', ''))).status, 200)
  t.equal((await get('/download/empty')).text, '')
})

for (const [name, status] of [
  ['../escaped', 403],
  ['out-dir/escaped', 403],
  ['a/../../escaped', 403],
  ['a', 400],
  ['..', 403],
  ['/', 400],
  ['n'.repeat(256), 400],
  ['d/'.repeat(300) + 'f', 400],
  ['n/'.repeat(3000) + 'f', 400]
] as const) {
  t.test(`upload as ${name.slice(0, 20)}: ${status}, and nothing is left anywhere`, async t => {
    const answer = await as(pod, session, 'POST /upload', form(name, 'x'))
    t.equal(answer.status, status)
    t.match(answer.json(), { detail: /./ })
    t.same(await readdir(join(ground.dataOf('one'), 'uploads')), [])
    await t.rejects(stat(join(ground.root, 'escaped')))
    await t.rejects(stat(join(files, '..', 'escaped')))
  })
}

t.test('a file over the limit is refused and leaves nothing', async t => {
  const answer = await as(pod, session, 'POST /upload', form('big', Buffer.alloc(65_537)))
  t.equal(answer.status, 413)
  t.equal((await get('/exists/big')).text, '{"path":"big","exists":false}')
  t.same(await readdir(join(ground.dataOf('one'), 'uploads')), [])
})

t.test('a form that is none', async t => {
  const json = await as(pod, session, 'POST /upload', { body: '{}', headers: { 'content-type': 'application/json' } })
  t.equal(json.status, 415)
  t.equal((await as(pod, session, 'POST /upload', form('x', 'y', 'other'))).status, 400)
  t.equal((await as(pod, session, 'POST /upload', { ...form('x', 'y'), body: 'no form at all' })).status, 400)
})

/** Sends the beginning of an upload on a raw connection. */
function beginUpload(content: string): ReturnType<typeof connect> {
  const { headers, body } = form('partial', 'x'.repeat(1000))
  const { hostname, port } = new URL(pod.url)
  const socket = connect(Number(port), hostname)
  const fields = { host: 'x', 'x-sandbox-id': 'alice', ...headers, 'content-length': String(body.length) }
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`POST /upload HTTP/1.1\r\n${head.join('')}\r\n${body.toString().slice(0, 200)}${content}`)
  return socket
}

t.test('a client that leaves in the middle, and one that falls silent, leave nothing', async t => {
  const uploads = join(ground.dataOf('one'), 'uploads')
  const leaving = beginUpload('')
  await until('the upload has begun', async () => (await readdir(uploads)).length === 1)
  leaving.destroy()
  await until('it is cleaned up', async () => (await readdir(uploads)).length === 0)
  const silent = beginUpload('')
  let answer = ''
  silent.on('data', piece => {
    answer += piece.toString()
  })
  await until('it is told', () => answer.includes('\r\n\r\n'))
  t.match(answer, /^HTTP\/1\.1 408 /)
  silent.destroy()
  t.same(await readdir(uploads), [])
  t.equal((await get('/exists/partial')).text, '{"path":"partial","exists":false}')
})

for (const [target, status] of [
  ['/download/nothing', 404],
  ['/download/a', 400],
  ['/download/', 400],
  ['/download/out', 403],
  ['/download/out-dir/secret', 403],
  ['/download/../../secret', 403],
  ['/download/..%2F..%2Fsecret', 403],
  ['/download/%2e%2e/secret', 403],
  ['/download//etc/passwd', 404],
  ['/download/%2Fetc%2Fpasswd', 404],
  ['/download/a%00b', 400],
  ['/download/%ff', 400],
  ['/download/%zz', 400],
  ['/list/out-dir', 403],
  ['/list/empty', 400],
  ['/list/nothing', 404],
  ['/exists/out', 403],
  ['/exists/../x', 403]
] as const) {
  t.test(`${target}: ${status}`, async t => {
    const answer = await get(target)
    t.equal(answer.status, status)
    t.match(answer.json(), { detail: /./ })
    t.notMatch(answer.text, 'SECRET')
  })
}

t.test('list tells name, size, type and time', async t => {
  await mkdir(join(files, 'dir', 'sub'), { recursive: true })
  await writeFile(join(files, 'dir', 'ä.txt'), '12345')
  await symlink('nowhere', join(files, 'dir', 'dangling'))
  const answer = await get('/list/dir')
  t.match(answer.json(), [
    { name: 'dangling', type: 'file', mod_time: Number },
    { name: 'sub', type: 'directory', mod_time: Number },
    { name: 'ä.txt', type: 'file', size: 5, mod_time: Number }
  ])
  for (const root of ['/list/', '/list', '/list/.', '/list/%2F', '/list//']) {
    const names: unknown = (await get(root)).json()
    t.match(names, Array, root)
    t.match(JSON.stringify(names), '"name":"dir"', root)
  }
})

t.test('exists', async t => {
  t.same((await get('/exists/dir')).json(), { path: 'dir', exists: true })
  t.same((await get('/exists/dir%2Fdangling')).json(), { path: 'dir/dangling', exists: false })
  t.same((await get('/exists/')).json(), { path: '', exists: true })
  await run(pod, session, 'mkfifo pipe')
  t.same((await get('/exists/pipe')).json(), { path: 'pipe', exists: true })
  t.equal((await get('/download/pipe')).status, 400)
})

t.test('a file that shrinks while it is sent ends in a cut connection, not in a short answer', async t => {
  const path = join(files, 'shrinking')
  await writeFile(path, '')
  await truncate(path, 512 * 1024 * 1024)
  const going = as(pod, session, 'GET /download/shrinking', {
    onData: () => void truncate(path, 1000)
  })
  await t.rejects(going)
})

t.test('hard links and big directories are fine', async t => {
  await link(join(files, 'dir', 'ä.txt'), join(files, 'hard'))
  t.equal((await get('/download/hard')).text, '12345')
  await run(pod, session, `sh -c 'mkdir many; cd many; i=0; while [ $i -lt 500 ]; do : > $i; i=$((i+1)); done'`)
  const names: unknown = (await get('/list/many')).json()
  t.equal(Array.isArray(names) ? names.length : 0, 500)
})
