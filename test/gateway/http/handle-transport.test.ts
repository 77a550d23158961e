import t from 'tap'

import { handleTransport } from '../../../gateway/http/handle-transport.ts'

/** The engine's tests that exercise a transport most. */
const FILES = [
  'responses',
  'keep-alive',
  'pipelining',
  'backpressure',
  'client-abort',
  'upstream-cut',
  'upgrade',
  'shared-buffers',
  'drain',
  'websocket'
]

t.test('this Node has the internal handles that the transport needs', async t => {
  t.not(handleTransport(), null)
})

for (const name of FILES) {
  const file = new URL(`${name}.test.ts`, import.meta.url).pathname
  void t.spawn(
    process.execPath,
    [file],
    { env: { ...process.env, FAIRLEAD_TEST_TRANSPORT: 'handle' } },
    `${name} on internal handles`
  )
}
