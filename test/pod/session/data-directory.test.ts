import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createLog } from '../../../lib/log.ts'
import { DataDirectory } from '../../../pod/session/data-directory.ts'

const log = createLog('test', { level: 'silent' })
const root = await mkdtemp(join(tmpdir(), 'fairlead-data-'))
t.teardown(() => rm(root, { recursive: true, force: true }))

/** Digs deeper than a path can name, and takes the rights to the top away. */
async function makeStubborn(directory: string): Promise<void> {
  await mkdir(join(directory, 'locked'), { recursive: true })
  const dig = 'i=0; while [ $i -lt 60 ]; do mkdir $1 && cd -P $1; i=$((i+1)); done'
  execFileSync('sh', ['-c', dig, 'sh', 'n'.repeat(100)], { cwd: join(directory, 'locked') })
  await writeFile(join(directory, 'locked', 'f'), 'x')
  await chmod(join(directory, 'locked'), 0o555)
}

t.test('what a session made hard to remove is removed when the session is discarded', async t => {
  const data = await DataDirectory.open(root, log)
  await data.makeEmpty('alice')
  await makeStubborn(data.filesOf('alice'))
  await data.discard('alice')
  await data.close()
  t.same(await readdir(join(root, 'trash')), [])
})

t.test('what a session made hard to remove does not keep the pod from starting', async t => {
  await makeStubborn(join(root, 'trash', 'old'))
  const data = await DataDirectory.open(root, log)
  t.same(await readdir(join(root, 'trash')), [])
  await data.close()
})
