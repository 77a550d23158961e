import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readableLogLine } from '../cli/dev/log-line.ts'
import { Client } from './client.ts'
import type { Whereabouts } from './client.ts'
import type { DevProcess } from './dev-process.ts'
import type { Narrator } from './narrator.ts'

const SESSIONS = ['alice', 'bob', 'carol'] as const
const NOTES = Array.from({ length: 10_000 }, (_, line) => `line ${line}\n`).join('')
const MOST_LOG_LINES = 12

interface Stage {
  dev: DevProcess
  narrator: Narrator
}
interface Scene extends Stage {
  client: Client
}

/** Plays the whole story; rejects at the first step that fails. */
export async function tellStory(stage: Stage): Promise<void> {
  const scene = { ...stage, client: await raiseCurtain(stage) }
  await createSessions(scene)
  await writeFiles(scene)
  await streamOutput(scene)
  await killOwner(scene)
  await showLog(scene)
  await cleanUp(scene)
}

async function raiseCurtain({ dev, narrator }: Stage): Promise<Client> {
  narrator.chapter('One gateway, three pods, one Redis')
  narrator.doing('fairlead dev')
  const { url, pods } = await dev.start()
  for (const pod of pods as { name: string; pid: number; url: string }[])
    narrator.output(`${pod.name}  pid ${pod.pid}  ${pod.url}`)
  const client = new Client(String(url))
  narrator.check(`the gateway answers on ${String(url)}`, (await client.status('/healthz')) === 200)
  return client
}

async function createSessions({ client, narrator }: Scene): Promise<void> {
  narrator.chapter('Sessions: each one lives on one pod')
  for (const id of SESSIONS) {
    narrator.doing(`POST /agents/shell/instances {"instanceId":"${id}"}`)
    await client.create(id)
    narrator.output(told(await client.whereIs(id)))
  }
  narrator.check('an unknown session is 404', (await client.status('/instances/nobody')) === 404)
}

async function writeFiles({ client, narrator }: Scene): Promise<void> {
  narrator.chapter('Files: each session has a directory of its own')
  for (const id of SESSIONS) {
    const command = `sh -c "echo I am ${id} > who.txt; cat who.txt"`
    narrator.doing(`POST /execute  (${id})  ${command}`)
    const { stdout, stderr } = await client.run(id, command)
    narrator.output(stdout + stderr)
    narrator.check(`${id} reads what ${id} wrote`, stdout === `I am ${id}\n`)
  }
  narrator.doing(`POST /upload  (alice)  notes.txt, ${NOTES.length} bytes`)
  await client.upload('alice', { name: 'notes.txt', content: NOTES })
  narrator.check('the upload comes back byte for byte', (await client.download('alice', 'notes.txt')) === NOTES)
}

async function streamOutput({ client, narrator }: Scene): Promise<void> {
  narrator.chapter('Streams: output arrives while the command runs')
  const command = 'sh -c "for i in 1 2 3 4; do echo tick $i; sleep 0.25; done"'
  narrator.doing(`POST /execute/stream  (bob)  ${command}`)
  const arrivals: number[] = []
  for await (const { atMs, line } of client.stream('bob', command)) {
    narrator.output(`+${String(Math.round(atMs)).padStart(4)} ms  ${line}`)
    arrivals.push(atMs)
  }
  narrator.check('lines came one by one, not all at the end', (arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0) > 500)
}

async function killOwner({ client, narrator }: Scene): Promise<void> {
  narrator.chapter('A pod dies; the conversation goes on')
  const before = await client.whereIs('alice')
  narrator.output(`before: ${told(before)}`)
  narrator.doing(`kill -9 ${before.owner.pid}`)
  process.kill(before.owner.pid, 'SIGKILL')
  const killedAt = performance.now()
  narrator.doing('GET /download/who.txt  (alice)')
  const file = await client.download('alice', 'who.txt')
  const tookMs = Math.round(performance.now() - killedAt)
  narrator.output(`${file.trimEnd()}   (${tookMs} ms after the kill)`)
  const after = await client.whereIs('alice')
  narrator.output(`after:  ${told(after)}`)
  narrator.check('the file outlived its pod', file === 'I am alice\n')
  narrator.check(
    'another process owns the session, at a higher epoch',
    after.owner.pid !== before.owner.pid && after.epoch > before.epoch
  )
  narrator.check('the upload is there too', (await client.download('alice', 'notes.txt')).length === NOTES.length)
  for (const id of SESSIONS) {
    const result = await client.run(id, 'sh -c "echo still here >> who.txt; cat who.txt"')
    narrator.check(`${id} goes on where it was`, result.stdout === `I am ${id}\nstill here\n`)
  }
}

function told({ owner, epoch }: Whereabouts): string {
  return `owner ${owner.memberId} (pid ${owner.pid}), epoch ${epoch}`
}

async function showLog({ dev, narrator }: Scene): Promise<void> {
  narrator.chapter('What happened, in the words of the log')
  const died = dev.events.find(event => event.event === 'died')
  narrator.check('fairlead dev saw the pod die', died !== undefined)
  const text = await readFile(join(dev.data, 'logs', 'gateway.log'), 'utf8')
  const lines = text.split('\n').filter(line => line.includes(String(died?.['name'])) || line.includes('alice'))
  for (const line of lines.slice(-MOST_LOG_LINES)) narrator.output(readableLogLine(line))
}

async function cleanUp({ client, dev, narrator }: Scene): Promise<void> {
  narrator.chapter('The end')
  for (const id of SESSIONS) {
    narrator.doing(`DELETE /instances/${id}`)
    await client.remove(id)
  }
  narrator.check('a deleted session is gone', (await client.status('/instances/alice')) === 404)
  narrator.doing('Ctrl-C')
  narrator.check('fairlead dev ended cleanly', (await dev.stop()) === 0)
}
