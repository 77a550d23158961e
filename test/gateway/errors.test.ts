import t from 'tap'
import { ERROR_CODES, errorAnswer, errorBody, statusOf } from '../../gateway/errors.ts'

t.test('the texts of agent-sandbox are exact', async t => {
  const expected = [
    ['sandbox-id-missing', 400, '{"detail":"X-Sandbox-ID header is required."}'],
    ['sandbox-id-invalid', 400, '{"detail":"Invalid sandbox ID format."}'],
    ['namespace-invalid', 400, '{"detail":"Invalid namespace format."}'],
    ['port-invalid', 400, '{"detail":"Invalid port format."}'],
    ['pod-ip-invalid', 400, '{"detail":"Invalid target IP address."}'],
    ['backend-unreachable', 502, '{"detail":"Could not connect to the backend sandbox: abc"}'],
    ['backend-timeout', 504, '{"detail":"Timed out waiting for the backend sandbox: abc"}']
  ] as const
  for (const [code, status, body] of expected) {
    t.equal(statusOf(code), status, code)
    t.equal(errorBody(code, 'sandbox', 'abc'), body)
  }
})

t.test('the texts of Regina are exact', async t => {
  t.equal(errorBody('session-unknown', 'regina', 'abc'), '{"error":"Instance not found"}')
  t.equal(errorBody('agent-unknown', 'regina'), '{"error":"Agent definition not found"}')
})

t.test('unknown and "registry down" are never mixed up', async t => {
  t.equal(statusOf('session-unknown'), 404)
  t.equal(statusOf('registry-unavailable'), 503)
})

t.test('every 503 says when to come back, nothing else does', async t => {
  for (const code of ERROR_CODES) {
    const answer = errorAnswer(code, 'sandbox', 'abc')
    t.equal(answer.fields.includes('Retry-After: 1\r\n'), answer.status === 503, code)
    t.equal(answer.outcome, code)
    t.doesNotThrow(() => JSON.parse(answer.body), code)
    t.notMatch(answer.body, '<id>', code)
    t.ok(answer.status < 300 || answer.status >= 400, 'never a redirect')
  }
})
