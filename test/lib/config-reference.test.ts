import t from 'tap'
import { describeOption, renderReference } from '../../lib/config-reference.ts'
import { resolveConfig } from '../../lib/config-table.ts'
import { gatewayOptions } from '../../gateway/config.ts'
import { podOptions } from '../../pod/config.ts'

t.test('an option is described by its sentence, its choices, its bounds and its default', async t => {
  t.equal(
    describeOption({ key: 'lease', type: 'duration', default: '30s', min: '1s', max: '1h', summary: 'how long' }),
    'how long (1s to 1h; default: 30s)'
  )
  t.equal(
    describeOption({ key: 'a', type: 'enum', default: 'x', choices: ['x', 'y'], summary: 'which' }),
    'which (x, y; default: x)'
  )
  t.equal(describeOption({ key: 'a', type: 'string', default: '', summary: 'what' }), 'what')
})

t.test('the reference is a Markdown table with one row per option', async t => {
  const text = renderReference([
    { key: 'redisUrl', type: 'url', default: 'redis://u:pw@h', env: ['REDIS_URL'], summary: 'a|b' }
  ])
  t.equal(
    text,
    '| YAML key | flag | environment | takes | default | what it does |\n| --- | --- | --- | --- | --- | --- |\n' +
      '| `redisUrl` | `--redis-url` | `FAIRLEAD_REDIS_URL`, `REDIS_URL` | url | `redis://u:***@h` | a\\|b |\n'
  )
})

t.test('the defaults of gateway and pod pass their own checks', async t => {
  t.doesNotThrow(() => resolveConfig(gatewayOptions, { section: 'gateway' }))
  t.doesNotThrow(() => resolveConfig(podOptions, { section: 'pod' }))
})

t.test('a key, a flag and a variable name one option each', async t => {
  for (const table of [gatewayOptions, podOptions]) {
    const keys = table.map(option => option.key)
    t.equal(new Set(keys).size, keys.length)
    for (const key of keys) t.match(key, /^[a-z][a-zA-Z]*$/, key)
  }
})
