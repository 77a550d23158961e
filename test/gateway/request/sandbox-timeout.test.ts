import t from 'tap'
import { parseSandboxTimeout } from '../../../gateway/request/sandbox-timeout.ts'

t.test('seconds become milliseconds, rounded up and capped', async t => {
  t.equal(parseSandboxTimeout('1', 180_000), 1000)
  t.equal(parseSandboxTimeout('0.25', 180_000), 250)
  t.equal(parseSandboxTimeout('.5', 180_000), 500)
  t.equal(parseSandboxTimeout('1e1', 180_000), 10_000)
  t.equal(parseSandboxTimeout('0.0000001', 180_000), 1)
  t.equal(parseSandboxTimeout('100000', 180_000), 180_000)
})

t.test('whatever is not a finite number above 0 is ignored', async t => {
  for (const text of [
    '',
    '0',
    '-1',
    '+1',
    'NaN',
    'Infinity',
    'inf',
    '1e999',
    '1s',
    '0x10',
    '1_000',
    ' 1',
    '1,5',
    '1'.repeat(40)
  ]) {
    t.equal(parseSandboxTimeout(text, 180_000), null, JSON.stringify(text))
  }
})
