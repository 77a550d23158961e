import t from 'tap'
import { parseLogLine, readableLogLine } from '../../../cli/dev/log-line.ts'

t.test('a line of the log becomes level, message and facts', async t => {
  const line =
    '{"level":"warn","time":"2026-01-01T00:00:00.000Z","name":"pod","pid":7,"session":"a","epoch":2,"err":{"message":"no"},"msg":"moved"}'
  t.equal(readableLogLine(line), 'warn  moved: no session=a epoch=2')
})

t.test('what is no line of the log stays as it is', async t => {
  for (const line of ['', 'TypeError: x', '{"status":200}', '{ torn', '[1]']) t.equal(readableLogLine(line), line)
  t.equal(parseLogLine('{ torn'), null)
})
