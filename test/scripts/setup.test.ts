import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const SETUP = fileURLToPath(new URL('../../scripts/setup.js', import.meta.url))

t.test('set-up says nothing and succeeds where everything is there', async t => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SETUP, '--test'], { encoding: 'utf8' })
  t.match({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' })
})
