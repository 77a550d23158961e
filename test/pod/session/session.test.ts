import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createLog } from '../../../lib/log.ts'
import { openStore } from '../../../pod/backup/open-store.ts'
import { SessionBackup } from '../../../pod/backup/session-backup.ts'
import { PodError, notOwner, sessionMoved } from '../../../pod/errors.ts'
import { plainRunner } from '../../../pod/session/commands/plain-runner.ts'
import type { CommandRunner } from '../../../pod/session/commands/command-runner.ts'
import { SaveSchedule } from '../../../pod/session/save-schedule.ts'
import { Session } from '../../../pod/session/session.ts'
import { nextPhase, statusOf } from '../../../pod/session/transitions.ts'
import { until } from '../fixtures/ground.ts'

const root = await mkdtemp(join(tmpdir(), 'fairlead-session-'))
t.teardown(() => rm(root, { recursive: true, force: true }))
const log = createLog('test', { level: 'silent' })

/** A session whose backups end when the test says so. */
function controlled(options: { idleTimeoutMs?: number; runner?: CommandRunner } = {}) {
  const saves: PromiseWithResolvers<{ again: boolean }>[] = []
  const announced: string[] = []
  const save = (): Promise<{ again: boolean }> => {
    const next = Promise.withResolvers<{ again: boolean }>()
    saves.push(next)
    return next.promise
  }
  const session = new Session({
    id: 'alice',
    epoch: 1,
    agent: 'shell',
    createdAt: 1,
    directory: root,
    backup: new SessionBackup({ store: openStore(`fs:${root}`), sessionId: 'alice', directory: join(root, 'files') }),
    saves: new SaveSchedule({ save, delayMs: 0, leftMs: () => 0, onStale: () => undefined, log }),
    runner: options.runner ?? plainRunner,
    idleTimeoutMs: options.idleTimeoutMs ?? 0,
    announce: (_, state) => announced.push(state),
    log
  })
  const end = (): Promise<void> => session.end({ abortWith: sessionMoved('alice'), refuseWith: notOwner('alice') })
  return { session, saves, announced, end }
}

t.test('a request during a suspension calls it off, at whatever step that is', async t => {
  const { session, saves, announced, end } = controlled()
  const suspending = session.suspend()
  await until('its backup is made', () => saves.length === 1)
  t.equal(session.status, 'started')
  const use = await session.begin()
  saves[0]?.resolve({ again: false })
  await suspending
  t.equal(session.state, 'active')
  t.same(announced, [])
  use.end()
  const again = session.suspend()
  await until('its backup is made', () => saves.length === 2)
  saves[1]?.resolve({ again: false })
  await again
  t.equal(session.state, 'suspended')
  t.same(announced, ['suspended'])
  await end()
})

t.test('a suspension that was called off kills nothing of what runs by then', async t => {
  const swept: boolean[] = []
  const looking = Promise.withResolvers<void>()
  const runner: CommandRunner = {
    ...plainRunner,
    sweep: async (_mark, { still } = {}) => {
      await looking.promise
      swept.push(still?.() ?? true)
      return 0
    }
  }
  const { session, saves, end } = controlled({ runner })
  const suspending = session.suspend()
  const use = await session.begin()
  looking.resolve()
  await until('a backup is made', () => saves.length === 1)
  saves[0]?.resolve({ again: false })
  await suspending
  t.same(swept, [false])
  use.end()
  await end()
})

t.test('whoever asks for the same suspension waits for the same', async t => {
  const { session, saves, end } = controlled()
  const both = Promise.all([session.suspend(), session.suspend()])
  await until('its backup is made', () => saves.length === 1)
  saves[0]?.resolve({ again: false })
  await both
  t.equal(saves.length, 1)
  await end()
})

t.test('a failed backup does not keep a session awake, and is tried again', async t => {
  const { session, saves, end } = controlled()
  const suspending = session.suspend()
  await until('its backup is made', () => saves.length === 1)
  saves[0]?.reject(new Error('store is away'))
  await suspending
  t.equal(session.state, 'suspended')
  await until('it is tried again', () => saves.length === 2)
  saves[1]?.resolve({ again: false })
  await end()
})

t.test('an end aborts uses, waits for them, and refuses what comes meanwhile only when it is over', async t => {
  const { session } = controlled()
  const use = await session.begin()
  const steps: string[] = []
  use.signal.addEventListener('abort', () => {
    steps.push('aborted')
    setTimeout(() => {
      steps.push('left')
      use.end()
    }, 20)
  })
  const ending = session.end({
    abortWith: sessionMoved('alice'),
    refuseWith: notOwner('alice', 1),
    last: async () => void steps.push('last')
  })
  t.notOk(session.isHeld)
  const late = session.begin().then(
    () => 'served',
    (error: unknown) => {
      steps.push('refused')
      return error instanceof PodError ? error.code : 'unknown'
    }
  )
  await ending
  t.equal(await late, 'not-owner')
  t.same(steps, ['aborted', 'left', 'last', 'refused'])
  t.match(use.signal.reason, { code: 'session-moved' })
  await t.rejects(session.suspend(), { code: 'session-busy' })
})

t.test('what cannot happen does not', async t => {
  t.equal(nextPhase('active', 'suspended'), null)
  t.equal(nextPhase('ended', 'use'), null)
  t.equal(nextPhase('ending', 'use'), null)
  t.equal(nextPhase('suspending', 'use'), 'active')
  t.equal(statusOf('ended'), 'stopped')
})
