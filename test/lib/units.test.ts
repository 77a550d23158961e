import t from 'tap'
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../lib/units.ts'

t.test('durations are read in every unit', async t => {
  const cases: [string, number][] = [
    ['0', 0],
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['0.5s', 500],
    ['1.001s', 1001]
  ]
  for (const [text, ms] of cases) t.equal(parseDuration(text), ms, text)
})

t.test('a duration that is not one is refused, and the message says what was expected', async t => {
  for (const text of [
    '',
    '30',
    's',
    '-1s',
    '1 s',
    '1e3s',
    '1S',
    '30s ',
    '5min',
    '0.5ms',
    '99999999999d',
    'NaN',
    '１s'
  ]) {
    t.throws(
      () => parseDuration(text),
      { name: 'RangeError', message: `expected a duration such as 250ms, 30s, 5m, 1h or 0, got "${text}"` },
      text
    )
  }
})

t.test('sizes are read in binary and decimal units', async t => {
  const cases: [string, number][] = [
    ['0', 0],
    ['512', 512],
    ['64Ki', 65_536],
    ['512Mi', 536_870_912],
    ['1Gi', 1_073_741_824],
    ['1G', 1_000_000_000],
    ['10k', 10_000],
    ['1.5Ki', 1536]
  ]
  for (const [text, bytes] of cases) t.equal(parseBytes(text), bytes, text)
})

t.test('a size that is not one is refused, and the message says what was expected', async t => {
  for (const text of ['', '1KB', 'Mi', '-1', '1.5', '1 Ki', '0x10', '9999999Ti']) {
    t.throws(
      () => parseBytes(text),
      { name: 'RangeError', message: `expected a size such as 64Ki, 512Mi, 1G or 0 (bytes), got "${text}"` },
      text
    )
  }
})

t.test('what is written is read back as the same number', async t => {
  for (const ms of [0, 1, 999, 1000, 90_000, 3_600_000, 86_400_001])
    t.equal(parseDuration(formatDuration(ms)), ms, formatDuration(ms))
  for (const bytes of [0, 1, 1000, 1024, 65_537, 2 ** 40])
    t.equal(parseBytes(formatBytes(bytes)), bytes, formatBytes(bytes))
  t.equal(formatDuration(90_000), '90s')
  t.equal(formatBytes(65_536), '64Ki')
})
