import t from 'tap'
import { resolveConfig } from '../../lib/config-table.ts'
import { gatewayEnvironment, gatewayOptions } from '../../gateway/config.ts'
import { DEFAULT_LIMITS } from '../../gateway/http/limits.ts'
import { trustedProxyList } from '../../gateway/trusted-proxies.ts'

function resolve(env: Record<string, string>) {
  return resolveConfig(gatewayOptions, { section: 'gateway', env: gatewayEnvironment(env) })
}

t.test('the defaults are valid, and those of the engine', async t => {
  const config = resolveConfig(gatewayOptions, { section: 'gateway' })
  const { responseHeadTimeoutMs, ...limits } = DEFAULT_LIMITS
  t.match(config, limits)
  t.equal(config.proxyTimeoutMs, responseHeadTimeoutMs)
  t.ok(config.holdTimeoutMs > config.leaseMs, 'a request can wait for a lease to end')
})

t.test('PROXY_TIMEOUT_SECONDS is a bare number of seconds, as deployments of agent-sandbox set it', async t => {
  t.equal(resolve({ PROXY_TIMEOUT_SECONDS: '60' }).proxyTimeoutMs, 60_000)
  t.equal(resolve({ PROXY_TIMEOUT_SECONDS: '2.5' }).proxyTimeoutMs, 2500)
  t.equal(resolve({ PROXY_TIMEOUT_SECONDS: '60', FAIRLEAD_PROXY_TIMEOUT: '5s' }).proxyTimeoutMs, 5000)
  t.throws(() => resolve({ PROXY_TIMEOUT_SECONDS: 'soon' }), /PROXY_TIMEOUT_SECONDS/)
})

t.test('trusted proxies are addresses or ranges', async t => {
  const list = trustedProxyList(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32', '::1'])
  t.ok(list.check('10.9.9.9'))
  t.ok(list.check('192.0.2.1'))
  t.notOk(list.check('192.0.2.2'))
  t.ok(list.check('2001:db8::5', 'ipv6'))
  t.ok(list.check('::1', 'ipv6'))
  for (const bad of ['', 'localhost', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '::/129', '10.0.0/8']) {
    t.throws(() => trustedProxyList([bad]), { code: 'config' }, bad)
  }
})
