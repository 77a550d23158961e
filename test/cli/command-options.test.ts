import { Command } from 'commander'
import t from 'tap'
import { addTableOptions, loadConfig } from '../../cli/command-options.ts'
import type { Option } from '../../lib/config-table.ts'

const table = [
  { key: 'port', type: 'port', default: 1, summary: 'port' },
  { key: 'accessLog', type: 'boolean', default: true, summary: 'log' },
  { key: 'requestTimeout', type: 'duration', default: '1s', summary: 'timeout' }
] as const satisfies readonly Option[]

function parse(...args: string[]) {
  const command = new Command()
  addTableOptions(command, table)
  command.parse(args, { from: 'user' })
  return loadConfig(table, { section: 'gateway', flags: command.opts(), env: {} })
}

t.test('flags of a table reach the config in every spelling', async t => {
  t.strictSame(parse(), { port: 1, accessLog: true, requestTimeoutMs: 1000 })
  t.strictSame(parse('--port', '2', '--request-timeout=5s'), { port: 2, accessLog: true, requestTimeoutMs: 5000 })
})

t.test('a boolean can be given bare, with a value, and negated', async t => {
  t.equal(parse('--access-log').accessLog, true)
  t.equal(parse('--access-log', 'false').accessLog, false)
  t.equal(parse('--no-access-log').accessLog, false)
  t.throws(() => parse('--access-log', 'maybe'), /flag --access-log: expected true or false, got "maybe"/)
})
