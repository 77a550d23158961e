import t from 'tap'
import { routeKeyOf } from '../../../gateway/request/route-key.ts'

const session = (id: string) => ({ kind: 'session', id })
const error = (code: string) => ({ kind: 'error', code })
const management = { kind: 'management' }

t.test('everything below /instances/:id belongs to that session', async t => {
  t.same(routeKeyOf('POST', '/instances/abc/chat'), session('abc'))
  t.same(routeKeyOf('GET', '/instances/abc/messages?x=1'), session('abc'))
  t.same(routeKeyOf('DELETE', '/instances/abc'), session('abc'))
  t.same(routeKeyOf('GET', '/instances/abc/'), session('abc'))
  t.same(routeKeyOf('GET', '/instances/abc/..%2f/%zz/../x'), session('abc'))
})

t.test('the gateway explains a session itself', async t => {
  t.same(routeKeyOf('GET', '/instances/abc'), management)
  t.same(routeKeyOf('GET', '/instances/abc?verbose=/x'), management)
  t.same(routeKeyOf('HEAD', '/instances/abc'), management)
})

t.test('an id is never decoded or normalised', async t => {
  for (const path of [
    '/instances/%61bc',
    '/instances/../x',
    '/instances/./x',
    '/instances//x',
    '/instances/',
    '/instances/ABC/x',
    '/instances/?x'
  ]) {
    t.same(routeKeyOf('GET', path), error('session-unknown'), path)
  }
})

t.test("/agents and all below it are the gateway's own", async t => {
  for (const path of ['/agents', '/agents?x', '/agents/', '/agents/shell/instances'])
    t.same(routeKeyOf('POST', path), management, path)
})

t.test('any other path lacks the header that names a session', async t => {
  for (const path of ['/', '/execute', '/agentsx', '/instancesx', '/%61gents', '//agents', '*', '/Agents']) {
    t.same(routeKeyOf('POST', path), error('sandbox-id-missing'), path)
  }
  t.same(routeKeyOf('GET', '/instances'), error('route-unknown'))
  t.same(routeKeyOf('GET', '/instances?x'), error('route-unknown'))
})
