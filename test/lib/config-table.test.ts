import t from 'tap'
import { ConfigError, environmentOf, flagOf, resolveConfig } from '../../lib/config-table.ts'
import type { ConfigSources, Option } from '../../lib/config-table.ts'

const table = [
  {
    key: 'redisUrl',
    type: 'url',
    default: 'redis://127.0.0.1:6379',
    env: ['REDIS_URL'],
    shared: true,
    summary: 'registry'
  },
  { key: 'port', type: 'port', default: 8080, summary: 'port' },
  { key: 'requestTimeout', type: 'duration', default: '30s', min: '1s', max: '1h', summary: 'timeout' },
  { key: 'maxBody', type: 'bytes', default: '1Mi', summary: 'size' },
  { key: 'allocation', type: 'enum', choices: ['round-robin', 'random'], default: 'random', summary: 'picker' },
  { key: 'accessLog', type: 'boolean', default: true, summary: 'log' },
  { key: 'proxies', type: 'list', default: [], summary: 'proxies' },
  { key: 'seconds', type: 'integer', default: null, min: 1, summary: 'no default' }
] as const satisfies readonly Option[]

function resolve(sources: Omit<ConfigSources, 'section'>) {
  return resolveConfig(table, { section: 'gateway', ...sources })
}

function problemsOf(sources: Omit<ConfigSources, 'section'>): readonly string[] {
  try {
    resolve(sources)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

const yaml = (text: string) => ({ path: 'fairlead.yaml', text })

t.test('without sources every option has its default, parsed and named with its unit', async t => {
  t.strictSame(resolve({}), {
    redisUrl: 'redis://127.0.0.1:6379',
    port: 8080,
    requestTimeoutMs: 30_000,
    maxBodyBytes: 1_048_576,
    allocation: 'random',
    accessLog: true,
    proxies: [],
    seconds: null
  })
})

t.test('a flag wins over the file, the file over the environment, the environment over the default', async t => {
  const env = { FAIRLEAD_PORT: '1' }
  const file = yaml('gateway:\n  port: 2\n')
  t.equal(resolve({ env }).port, 1)
  t.equal(resolve({ env, file }).port, 2)
  t.equal(resolve({ env, file, flags: { port: '3' } }).port, 3)
})

t.test('our own environment name wins over a further one, and an empty variable counts as unset', async t => {
  t.equal(resolve({ env: { REDIS_URL: 'redis://a' } }).redisUrl, 'redis://a')
  t.equal(resolve({ env: { REDIS_URL: 'redis://a', FAIRLEAD_REDIS_URL: 'redis://b' } }).redisUrl, 'redis://b')
  t.equal(resolve({ env: { REDIS_URL: 'redis://a', FAIRLEAD_REDIS_URL: '' } }).redisUrl, 'redis://a')
})

t.test('values are typed the same whether they come as text or as YAML', async t => {
  const fromEnv = {
    FAIRLEAD_ACCESS_LOG: 'false',
    FAIRLEAD_PROXIES: 'a, b',
    FAIRLEAD_MAX_BODY: '0',
    FAIRLEAD_REQUEST_TIMEOUT: '2s'
  }
  const text = 'gateway:\n  accessLog: false\n  proxies: [a, b]\n  maxBody: 0\n  requestTimeout: 2s\n'
  t.strictSame(resolve({ env: fromEnv }), resolve({ file: yaml(text) }))
  t.match(resolve({ env: fromEnv }), { accessLog: false, proxies: ['a', 'b'], maxBodyBytes: 0, requestTimeoutMs: 2000 })
})

t.test(
  'shared options stand at the top of the file, others in the section; other sections are not looked at',
  async t => {
    const file = yaml('redisUrl: redis://r\npod:\n  whatever: 1\ngateway:\n  port: 7\n')
    t.match(resolve({ file }), { redisUrl: 'redis://r', port: 7 })
  }
)

t.test('all problems come in one message, each with its place', async t => {
  const file = yaml('colour: red\nredisUrl: 5\ngateway:\n  prot: 1\n  port: 70000\n  accessLog: yes please\n')
  const problems = problemsOf({
    file,
    flags: { requestTimeout: '5' },
    env: { FAIRLEAD_ALLOCATION: 'best', FAIRLEAD_SECONDS: '0' }
  })
  t.strictSame(problems, [
    'file fairlead.yaml: colour: unknown key, expected one of redisUrl, gateway, pod',
    'file fairlead.yaml: gateway.prot: unknown key, expected one of port, requestTimeout, maxBody, allocation, accessLog, proxies, seconds',
    'file fairlead.yaml: redisUrl: expected a URL such as redis://127.0.0.1:6379, got 5',
    'file fairlead.yaml: gateway.port: expected a port from 0 to 65535, got 70000',
    'flag --request-timeout: expected a duration such as 250ms, 30s, 5m, 1h or 0, got "5"',
    'environment FAIRLEAD_ALLOCATION: expected one of round-robin, random, got "best"',
    'file fairlead.yaml: gateway.accessLog: expected true or false, got "yes please"',
    'environment FAIRLEAD_SECONDS: expected at least 1, got 0'
  ])
  t.equal(new ConfigError(problems).message, `invalid configuration:\n${problems.map(line => `  ${line}`).join('\n')}`)
})

t.test('bounds are checked in the unit of the option', async t => {
  t.strictSame(problemsOf({ flags: { requestTimeout: '999ms' } }), [
    'flag --request-timeout: expected at least 1s, got 999ms'
  ])
  t.strictSame(problemsOf({ flags: { requestTimeout: '61m' } }), [
    'flag --request-timeout: expected at most 1h, got 61m'
  ])
  t.strictSame(problemsOf({ flags: { requestTimeout: '1h' } }), [])
  t.strictSame(problemsOf({ flags: { port: '-1' } }), ['flag --port: expected at least 0, got -1'])
})

t.test('a file that is no YAML, or no mapping, is refused', async t => {
  t.match(problemsOf({ file: yaml('a: [1') })[0], /^file fairlead\.yaml: .*line 1/)
  t.strictSame(problemsOf({ file: yaml('- 1\n') }), ['file fairlead.yaml: expected a mapping of keys to values'])
  t.strictSame(problemsOf({ file: yaml('gateway: 5\n') }), [
    'file fairlead.yaml: gateway: expected a mapping of keys to values'
  ])
  t.match(problemsOf({ file: yaml('gateway:\n  port: 1\n  port: 2\n') })[0], /unique/)
  t.strictSame(problemsOf({ file: yaml('') }), [])
})

t.test('a password never shows up in a message', async t => {
  const problems = problemsOf({ flags: { port: 'redis://user:s3cret@host/0', redisUrl: ['redis://u:s3cret@h'] } })
  t.equal(problems.length, 2)
  t.notMatch(problems.join('\n'), 's3cret')
  t.match(problems[1], 'redis://user:***@host/0')
})

t.test('flags and variables are named after the key', async t => {
  t.equal(flagOf(table[2]), '--request-timeout')
  t.strictSame(environmentOf(table[0]), ['FAIRLEAD_REDIS_URL', 'REDIS_URL'])
})
