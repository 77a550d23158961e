import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { ChildOutput } from '../../../cli/dev/child-output.ts'
import { SupervisedChild } from '../../../cli/dev/supervised-child.ts'
import type { ChildEvent } from '../../../cli/dev/supervised-child.ts'
import { isAlive } from '../run-cli.ts'

const READY = 'console.log("ready"); setInterval(() => {}, 1000);'

function supervise(
  t: Test,
  options: { script: string | (() => string); onEvent?: (event: ChildEvent) => void }
): SupervisedChild {
  const { script, onEvent = () => undefined } = options
  const output = new ChildOutput('child', { logFile: join(t.testdir(), 'child.log'), verbose: false })
  return new SupervisedChild({
    name: 'child',
    output,
    spawn: () =>
      spawn(process.execPath, ['-e', typeof script === 'string' ? script : script()], {
        stdio: ['ignore', 'pipe', 'pipe']
      }),
    whenReady: firstOutput,
    onEvent
  })
}

async function firstOutput(child: ChildProcess, signal: AbortSignal) {
  if (child.stdout === null) throw new Error('no stdout')
  const [chunk]: unknown[] = await once(child.stdout, 'data', { signal })
  return { said: String(chunk) }
}

t.test('a child that dies is started again, and both are told', async t => {
  const events: ChildEvent[] = []
  const back = Promise.withResolvers<void>()
  const child = supervise(t, {
    script: READY,
    onEvent: event => {
      events.push(event)
      if (event.event === 'back') back.resolve()
    }
  })
  await child.start()
  const first = child.pid ?? 0
  process.kill(first, 'SIGKILL')
  await back.promise
  t.match(events, [
    { event: 'died', name: 'child', pid: first, how: 'SIGKILL', restartInMs: 1000 },
    { event: 'back', name: 'child', pid: child.pid }
  ])
  t.not(child.pid, first)
  await child.stop(1000)
  t.notOk(await isAlive(child.pid ?? 0))
})

t.test('a child that does not start is an error with its last words, and stays dead', async t => {
  const child = supervise(t, { script: 'console.error("no such luck"); process.exit(3)' })
  await t.rejects(child.start(), {
    code: 'child-start',
    message: /child did not start \(exit code 3\)\n {2}no such luck/
  })
  await child.stop(1000)
})

t.test('a program that is not there is an error', async t => {
  const output = new ChildOutput('child', { logFile: join(t.testdir(), 'child.log'), verbose: false })
  const child = new SupervisedChild({
    name: 'child',
    output,
    spawn: () => spawn('/no/such/program', { stdio: ['ignore', 'pipe', 'pipe'] }),
    whenReady: firstOutput,
    onEvent: () => undefined
  })
  await t.rejects(child.start(), { code: 'child-start', message: /ENOENT/ })
  await child.stop(1000)
})

t.test('a child that refuses to end is killed after its grace', async t => {
  const child = supervise(t, { script: `process.on("SIGTERM", () => {}); ${READY}` })
  await child.start()
  const { pid = 0 } = child
  await child.stop(100)
  t.notOk(await isAlive(pid))
})

t.test('a child that was stopped is not started again', async t => {
  let starts = 0
  const script = () => {
    starts += 1
    return READY
  }
  const child = supervise(t, { script })
  await child.start()
  await Promise.all([child.stop(1000), child.stop(1000)])
  t.equal(starts, 1)
  await t.rejects(child.start())
  t.equal(starts, 1)
})

t.test('stopping does not wait for a restart that is due', async t => {
  const died = Promise.withResolvers<void>()
  const child = supervise(t, { script: READY, onEvent: () => died.resolve() })
  await child.start()
  process.kill(child.pid ?? 0, 'SIGKILL')
  await died.promise
  const before = performance.now()
  await child.stop(5000)
  t.ok(performance.now() - before < 900)
})
