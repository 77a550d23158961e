import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { describeTree } from '../pod/backup/tree.ts'
import { Cluster, until } from './fixtures/cluster.ts'
import type { SessionClient } from './fixtures/session-client.ts'

/** Everything that a file can be, made by one script; without set-user-id, which a backup does not keep because it keeps no owners. */
const TREE = [
  'mkdir -p deep/er/est empty/nested "with space" modes',
  'echo text > deep/er/est/file; : > empty-file; echo x > "with space/a b"; echo y > "$(printf "new\\nline")"',
  'head -c 300000 /dev/urandom > random; cp random copy; ln random hard',
  'for m in 400 600 644 755 777 1644 711; do echo $m > modes/$m; chmod $m modes/$m; done',
  'mkdir -m 700 private; mkdir -m 1777 sticky',
  'ln -s deep/er/est/file link; ln -s nowhere dangling; ln -s /etc/hostname absolute; ln -s .. deep/up',
  'touch -d 2001-02-03T04:05:06Z old; echo "#!/bin/sh\necho ran" > script; chmod +x script'
].join('; ')

/** What is done to a session in a cycle; it must change nothing. */
type Ordeal = (cluster: Cluster, session: SessionClient) => Promise<void>

const suspendAndResume: Ordeal = async (_, session) => {
  for (const verb of ['/suspend', '/resume']) {
    const { status, text } = await session.instance('POST', verb)
    if (status !== 204) throw new Error(`${verb}: ${status} ${text}`)
  }
}

const suspendAndUse: Ordeal = async (_, session) => {
  await session.instance('POST', '/suspend')
  await session.run('true')
}

const crash: Ordeal = async (cluster, session) => {
  const owner = await cluster.ownerOf(session)
  await Promise.all([owner.kill(), cluster.addPod()])
}

const suspendAndCrash: Ordeal = async (cluster, session) => {
  await session.instance('POST', '/suspend')
  await crash(cluster, session)
}

/** The pod comes back under its name and with its disk. */
const crashAndReturn: Ordeal = async (cluster, session) => {
  const owner = await cluster.ownerOf(session)
  await owner.kill()
  await cluster.addPod({}, owner.name)
}

const drain: Ordeal = async (cluster, session) => {
  const owner = await cluster.ownerOf(session)
  const replacement = cluster.addPod()
  owner.signal('SIGTERM')
  await owner.exit
  await replacement
}

async function treeOf(cluster: Cluster, session: SessionClient): Promise<string[]> {
  const { memberId } = await session.explain()
  return describeTree(join(cluster.root, memberId, 'sessions', session.id, 'files'))
}

async function goThrough(t: Test, ordeals: Readonly<Record<string, Ordeal>>, cycles: number): Promise<void> {
  const cluster = await Cluster.start(t, { podFlags: { durability: 'sync' } })
  const session = await cluster.create()
  await session.shell(TREE)
  const names = Object.keys(ordeals)
  for (let cycle = 1; cycle <= cycles; cycle++) {
    await session.shell(`echo ${cycle} >> cycles; mkdir -p made-${cycle}/empty; rm -rf made-${cycle - 2}`)
    const before = await treeOf(cluster, session)
    const name = names[(cycle - 1) % names.length]!
    await ordeals[name]!(cluster, session)
    t.equal((await session.run('cat cycles')).trim().split('\n').length, cycle)
    t.same(await treeOf(cluster, session), before, `cycle ${cycle}: ${name}`)
    t.equal(await session.run('./script'), 'ran\n')
  }
}

t.test('three suspends in a row lose nothing', t => goThrough(t, { suspendAndResume, suspendAndUse }, 3))

t.test('three crashes in a row lose nothing', t => goThrough(t, { crash }, 3))

t.test('ten ordeals in a row, of every kind, lose nothing', t =>
  goThrough(t, { suspendAndResume, crash, suspendAndCrash, crashAndReturn, drain }, 10)
)

t.test('an idle session is suspended, a probe does not keep it awake, and a request wakes it', async t => {
  const cluster = await Cluster.start(t, { pods: 1, podFlags: { idleTimeout: '300ms' } })
  const session = await cluster.create()
  for (let cycle = 1; cycle <= 3; cycle++) {
    await session.shell(`echo ${cycle} >> file; mkdir d${cycle}`)
    await until('it is suspended', async () => {
      await session.send('GET /')
      return (await session.explain()).status === 'suspended'
    })
    t.match(await session.run('ls'), new RegExp(`d${cycle}\nfile`))
    t.equal((await session.explain()).epoch, 1)
  }
})
