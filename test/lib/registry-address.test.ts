import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'tap'
import { checkAddress, checkedLookup } from '../../lib/registry-address.ts'

const cluster = { allowLoopback: false }
const oneMachine = { allowLoopback: true }

void test('an ordinary address may be dialled, with its brackets and scheme taken off', async t => {
  const expected: [string, string, number][] = [
    ['10.1.2.3:8080', '10.1.2.3', 8080],
    ['http://10.1.2.3:8080', '10.1.2.3', 8080],
    ['http://10.1.2.3:8080/', '10.1.2.3', 8080],
    ['[2001:db8::7]:1', '2001:db8::7', 1],
    ['[fd12:3456::1]:65535', 'fd12:3456::1', 65_535],
    ['pod-1.pods.default.svc.cluster.local:8080', 'pod-1.pods.default.svc.cluster.local', 8080],
    ['[::ffff:10.1.2.3]:80', '::ffff:10.1.2.3', 80]
  ]
  for (const [text, host, port] of expected) t.same(checkAddress(text, cluster).address, { host, port }, text)
})

void test('an address that reaches metadata, link-local, multicast or nothing is refused, however it is spelled', async t => {
  const hosts = [
    '169.254.169.254',
    '169.254.0.1',
    '0.0.0.0',
    '0.1.2.3',
    '224.0.0.1',
    '239.255.255.255',
    '255.255.255.255',
    '240.0.0.1',
    '100.100.100.200',
    '168.63.129.16',
    '[fe80::1]',
    '[febf::1]',
    '[ff02::1]',
    '[::]',
    '[::ffff:169.254.169.254]',
    '[::FFFF:a9fe:a9fe]',
    '[0:0:0:0:0:ffff:169.254.169.254]',
    '[fd00:ec2::254]',
    '[64:ff9b::a9fe:a9fe]',
    '[2002:a9fe:a9fe::1]',
    '[::169.254.169.254]'
  ]
  for (const host of hosts) t.not(checkAddress(`${host}:80`, oneMachine).problem, null, host)
})

void test('loopback is dialled only where everything runs on one machine', async t => {
  for (const host of [
    '127.0.0.1',
    '127.9.9.9',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    'localhost',
    'x.localhost',
    'LOCALHOST.'
  ]) {
    t.match(checkAddress(`${host}:80`, cluster).problem, /loopback/, `${host} in a cluster`)
    t.equal(checkAddress(`${host}:80`, oneMachine).problem, null, `${host} on one machine`)
  }
})

void test('what is not host:port is refused', async t => {
  const bad = [
    '',
    ':5007',
    'http://:5007',
    'https://10.1.2.3:80',
    '10.1.2.3',
    '10.1.2.3:',
    '10.1.2.3:0',
    '10.1.2.3:65536',
    '10.1.2.3:080808',
    '10.1.2.3:80/admin',
    'user@10.1.2.3:80',
    '10.1.2.3:80?x',
    '10.1.2.3:80\r\nX: y',
    ' 10.1.2.3:80',
    'a b:80',
    '::1:80',
    '[10.1.2.3]:80',
    '127.1:80',
    '2130706433:80',
    '0x7f000001:80',
    '0x7f.1:80',
    'a..b:80',
    '-a.b:80',
    `${'a'.repeat(64)}.b:80`,
    '[fe80::1%eth0]:80',
    'a%2f:80'
  ]
  for (const text of bad) t.equal(checkAddress(text, oneMachine).address, null, JSON.stringify(text))
})

void test('a name that resolves to loopback is refused when it is dialled, and its twin is connected where loopback is allowed', async t => {
  const server = createServer(socket => socket.end()).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  for (const autoSelectFamily of [true, false]) {
    const refused = connect({ host: 'localhost', port, lookup: checkedLookup(cluster), autoSelectFamily })
    const [error] = await once(refused, 'error')
    t.match(error, { code: 'EACCES' })
    const allowed = connect({
      host: 'localhost',
      port,
      lookup: checkedLookup(oneMachine),
      autoSelectFamily,
      family: 4
    })
    await once(allowed, 'connect')
    allowed.destroy()
  }
})
