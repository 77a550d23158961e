import t from 'tap'

import { mayReplay } from '../../../gateway/http/replay-decision.ts'

const SENT = { sent: true, refused: false, responded: false, method: 'GET', hasBody: false, saved: true }

t.test('what was not sent may be sent, whatever it is, if its bytes are there', async t => {
  for (const method of ['GET', 'POST', 'DELETE', 'PATCH', 'get']) {
    for (const hasBody of [true, false]) {
      t.ok(mayReplay({ ...SENT, sent: false, method, hasBody }))
      t.notOk(mayReplay({ ...SENT, sent: false, method, hasBody, saved: false }))
    }
  }
})

t.test('what the upstream refused may be sent again, if its bytes are there', async t => {
  for (const method of ['GET', 'POST', 'DELETE']) {
    t.ok(mayReplay({ ...SENT, refused: true, method, hasBody: true }))
    t.notOk(mayReplay({ ...SENT, refused: true, method, hasBody: true, saved: false }))
  }
})

t.test('what was sent may be sent again only with a safe method and no body', async t => {
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    t.ok(mayReplay({ ...SENT, method }))
    t.notOk(mayReplay({ ...SENT, method, hasBody: true }))
    t.notOk(mayReplay({ ...SENT, method, saved: false }))
    t.notOk(mayReplay({ ...SENT, method, responded: true }), 'nor once a byte of a response has come')
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'get', '']) t.notOk(mayReplay({ ...SENT, method }))
})
