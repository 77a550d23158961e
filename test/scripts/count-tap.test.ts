import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'

const SCRIPT = fileURLToPath(new URL('../../.ci/count-tap.js', import.meta.url))

function count(t: Test, report: string): string {
  const file = join(t.testdir(), 'report.tap')
  writeFileSync(file, report)
  return execFileSync(process.execPath, [SCRIPT, file], { encoding: 'utf8' }).trim()
}

t.test('assertions are counted, lines that sum up a subtest and skipped ones are not', async t => {
  const report = `TAP version 14
# Subtest: test/a.test.ts
    # Subtest: behaves
        ok 1 - this
        ok 2 - that # SKIP not here
        not ok 3 - other
        1..3
    not ok 1 - behaves # time=1ms
    1..1
not ok 1 - test/a.test.ts
ok 2 - test/b.test.ts # time=1ms {
    ok 1 - buffered
    1..1
}
1..2
`
  t.equal(count(t, report), '2 1')
})

t.test('a subtest that fails without a failed assertion counts as one', async t => {
  t.equal(count(t, '# Subtest: x\n    ok 1 - fine\n    1..1\nnot ok 1 - x # timeout!\n1..1\n'), '1 1')
})
