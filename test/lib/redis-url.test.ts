import { test } from 'tap'
import { RedisUrlError, parseRedisUrl } from '../../lib/redis-url.ts'

void test('a single server', async t => {
  t.match(parseRedisUrl('redis://localhost'), { mode: 'standalone', nodes: [{ host: 'localhost', port: 6379 }], db: 0 })
  t.match(parseRedisUrl('rediss://me:p%40ss%3Aword@[::1]:6380/3'), {
    nodes: [{ host: '::1', port: 6380 }],
    username: 'me',
    password: 'p@ss:word',
    db: 3,
    tls: true
  })
  t.match(parseRedisUrl('redis://:secret@10.0.0.1:1/'), { username: undefined, password: 'secret', db: 0, tls: false })
})

void test('sentinels and the master that they watch', async t => {
  t.match(parseRedisUrl('redis+sentinel://:pw@a,b:26380/mymaster/2?sentinelPassword=x'), {
    mode: 'sentinel',
    nodes: [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 26_380 }
    ],
    master: 'mymaster',
    db: 2,
    password: 'pw',
    sentinelPassword: 'x'
  })
})

void test('nodes of a cluster', async t => {
  t.match(parseRedisUrl('rediss+cluster://a:7000,b:7001'), {
    mode: 'cluster',
    tls: true,
    nodes: [
      { host: 'a', port: 7000 },
      { host: 'b', port: 7001 }
    ]
  })
})

void test('what is not such a URL is refused without showing its password', async t => {
  const bad = [
    'http://secret@a',
    'secret',
    'redis://:secret@a,b',
    'redis://:secret@',
    'redis://:secret@a:0',
    'redis://:secret@a:65536',
    'redis://:secret@a/x',
    'redis://:secret@a/0/1',
    'redis+sentinel://:secret@a',
    'redis+cluster://:secret@a/1',
    'redis://:secret%zz@a'
  ]
  for (const url of bad) {
    t.throws(() => parseRedisUrl(url), RedisUrlError, url)
    try {
      parseRedisUrl(url)
    } catch (error) {
      t.notMatch(String(error), /secret/)
    }
  }
})
