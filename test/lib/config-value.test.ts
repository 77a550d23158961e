import t from 'tap'
import { redactUrl } from '../../lib/config-value.ts'

t.test('passwords of URLs are blanked, wherever they stand', async t => {
  const cases: [string, string][] = [
    ['redis://127.0.0.1:6379', 'redis://127.0.0.1:6379'],
    ['redis://:pw@h:1/0', 'redis://:***@h:1/0'],
    ['redis://user:p@w/d@h:1', 'redis://user:***@h:1'],
    [
      'redis+sentinel://u:pw@a:1,b:2/master?sentinelPassword=pw',
      'redis+sentinel://u:***@a:1,b:2/master?sentinelPassword=***'
    ],
    ['connecting to rediss://u:pw@h failed', 'connecting to rediss://u:***@h failed']
  ]
  for (const [text, shown] of cases) t.equal(redactUrl(text), shown)
})
