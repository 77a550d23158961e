import t from 'tap'
import { FairleadError, errorText } from '../../lib/errors.ts'

t.test('an error carries its code, its cause and the name of its class', async t => {
  class TakenError extends FairleadError {}
  const cause = new Error('below')
  const error = new TakenError('taken', 'it is taken', { cause })
  t.match(error, { code: 'taken', message: 'it is taken', name: 'TakenError', cause })
})

t.test('whatever was thrown becomes one line of text', async t => {
  t.equal(errorText(new Error('first\n  second')), 'first second')
  t.equal(errorText(Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })), 'ECONNREFUSED')
  t.equal(errorText('plain'), 'plain')
  t.equal(errorText(undefined), 'undefined')
})
