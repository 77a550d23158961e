import t from 'tap'
import { sandboxHeaderFault } from '../../../gateway/request/sandbox-headers.ts'

const plain = { id: 'abc', namespace: null, port: null, podIp: null }
const check = (headers: Partial<typeof plain> | Record<string, string | null>, allowLoopback = false) =>
  sandboxHeaderFault({ ...plain, ...headers }, { allowLoopback })

t.test('ids are DNS labels of at most 63 characters', async t => {
  for (const id of ['a', '0', 'a-b', 'a'.repeat(63)]) t.equal(check({ id }), null, id)
  for (const id of ['A', '-a', 'a-', 'a.b', 'a_b', 'a/b', '%61', 'a b', 'a'.repeat(64), 'é', '..']) {
    t.equal(check({ id }), 'sandbox-id-invalid', id)
  }
  t.equal(check({ id: null }), 'sandbox-id-missing')
  t.equal(check({ id: '' }), 'sandbox-id-missing')
})

t.test('checks run in the order id, namespace, port, address', async t => {
  const all = { id: '!', namespace: '!', port: '!', podIp: '!' }
  t.equal(check({ ...all, id: null }), 'sandbox-id-missing')
  t.equal(check(all), 'sandbox-id-invalid')
  t.equal(check({ ...all, id: 'a' }), 'namespace-invalid')
  t.equal(check({ ...all, id: 'a', namespace: 'b' }), 'port-invalid')
  t.equal(check({ ...all, id: 'a', namespace: 'b', port: '1' }), 'pod-ip-invalid')
  t.equal(check({ ...all, id: 'a', namespace: 'b', port: '1', podIp: '10.0.0.1' }), null)
})

t.test('an empty namespace, port or address counts as absent', async t => {
  t.equal(check({ namespace: '', port: '', podIp: '' }), null)
})

t.test('ports are integers from 1 to 65535', async t => {
  for (const port of ['1', '8888', '65535', '00080']) t.equal(check({ port }), null, port)
  for (const port of ['0', '65536', '-1', '+80', '80.0', '8e1', '0x50', ' 80', '999999', 'http']) {
    t.equal(check({ port }), 'port-invalid', port)
  }
})

t.test('a target address is an IP literal that may be dialled', async t => {
  for (const podIp of ['10.1.2.3', '192.168.0.9', '2001:db8::1', '::ffff:10.0.0.1'])
    t.equal(check({ podIp }), null, podIp)
  const bad = [
    'localhost',
    '10.0.0',
    '0x7f.1',
    '0.0.0.0',
    '::',
    '169.254.169.254',
    'fe80::1',
    'fe80::1%eth0',
    '224.0.0.1',
    'ff02::1'
  ]
  for (const podIp of [...bad, '::ffff:169.254.169.254', '::ffff:0.0.0.0', '[::1]', '10.0.0.1:80']) {
    t.equal(check({ podIp }), 'pod-ip-invalid', podIp)
  }
})

t.test('loopback addresses pass only behind the flag', async t => {
  for (const podIp of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    t.equal(check({ podIp }), 'pod-ip-invalid', podIp)
    t.equal(check({ podIp }, true), null, podIp)
  }
})
