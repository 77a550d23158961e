import t from 'tap'
import type { Route } from '../../../pod/http/call.ts'
import { Router } from '../../../pod/http/router.ts'

const handle = (): Promise<void> => Promise.resolve()
const route = (method: string, path: string): Route => ({ kind: 'plain', method, path, dialect: 'sandbox', handle })
const router = new Router([
  route('GET', '/'),
  route('GET', '/agents/:id'),
  route('POST', '/agents/:id/instances'),
  route('GET', '/download/*'),
  { ...route('DELETE', '/instances/:id'), dialect: 'regina' },
  { ...route('GET', '/instances/:id'), dialect: 'regina' }
])

function params(method: string, target: string): readonly string[] | string {
  const match = router.match(method, target)
  return match.kind === 'found' ? match.params : match.kind
}

t.test('paths are taken as they are, segment by segment', async t => {
  t.same(params('GET', '/'), [])
  t.same(params('GET', '/?x=/agents/a'), [])
  t.same(params('GET', '/agents/a%2Fb?q'), ['a%2Fb'])
  t.same(params('GET', '/download/a/../b%2f//c'), ['a/../b%2f//c'])
  t.same(params('GET', '/download/'), [''])
  t.same(params('HEAD', '/download/x'), ['x'])
})

t.test('what no row says is unknown', async t => {
  for (const target of [
    '/agents/',
    '/agents/a/',
    '//',
    '',
    '/x',
    '/agents/../agents/a',
    '/AGENTS/a',
    'http://h/agents/a'
  ]) {
    t.equal(params('GET', target), 'unknown', target)
  }
})

t.test('a known path with another method says which it has', async t => {
  t.same(router.match('PATCH', '/instances/a'), { kind: 'bad-method', dialect: 'regina', allow: ['DELETE', 'GET'] })
  t.match(router.match('GET', '/agents/a/instances'), { kind: 'bad-method', allow: ['POST'] })
})
