import t from 'tap'
import { call } from '../pod/fixtures/http-call.ts'
import { Cluster } from './fixtures/cluster.ts'

const ROUNDS = 5
const REQUESTS = 60

t.test('many first requests for one orphan through two gateways find one owner', async t => {
  const cluster = await Cluster.start(t, { gateways: 2, podFlags: { durability: 'sync' } })
  for (let round = 1; round <= ROUNDS; round++) {
    const session = await cluster.create()
    await session.shell(`echo ${round} > file`)
    const owner = await cluster.ownerOf(session)
    await Promise.all([owner.kill(), cluster.addPod()])
    const through = cluster.gateways.map(gateway => cluster.session(session.id, gateway))
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, (_, at) => through[at % through.length]!.send('GET /'))
    )
    const seen = new Set(answers.map(({ status, text }) => `${status} ${text}`))
    t.equal(seen.size, 1, `one answer: ${[...seen].join(' | ')}`)
    t.match(answers[0]?.json(), { status: 'ok', sandbox: session.id, epoch: 2 })
    const record = (await cluster.registry.lookup(session.id)).record
    t.match(record, { epoch: 2, owner: Object(answers[0]?.json()).memberId })
    for (const client of through) t.equal(await client.run('cat file'), `${round}\n`)
  }
})

t.test('an id that is created through two gateways at once is created once', async t => {
  const cluster = await Cluster.start(t, { gateways: 2 })
  for (let round = 1; round <= ROUNDS; round++) {
    const body = { instanceId: `wanted-${round}` }
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const gateway = cluster.gateways[at % 2]!
        return (await call(gateway.url, 'POST /agents/shell/instances', { body })).status
      })
    )
    t.equal(statuses.filter(status => status === 201).length, 1)
    t.equal(statuses.filter(status => status === 409).length, 19)
  }
})
