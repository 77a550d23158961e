import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchSession } from '../backend.ts'
import { residentBytes } from '../process-stat.ts'
import { requestHead, type RequestShape } from '../request.ts'
import type { RunningSubject } from '../subject.ts'

/** What idle keep-alive connections cost. */
export interface MemorySample {
  connections: number
  /** Resident bytes of all the subject's processes before the first and after the last connection. */
  beforeBytes: number
  afterBytes: number
  bytesPer1000: number
  /** Connections that the subject refused, answered with something other than 200, or closed again. */
  lost: number
}

const OPENING_AT_ONCE = 50
const WARM_UP_CONNECTIONS = 200
const SETTLE_MS = 1500
const ANSWER_TIMEOUT_MS = 5000
const GET: RequestShape = { method: 'GET', target: '/idle', keepAlive: true, bodyBytes: 0 }

/** Opens the connections on a fresh subject, sends one request on each, and looks what it holds when all is quiet again. */
export async function measureMemory(
  subject: RunningSubject,
  { connections, sessions }: { connections: number; sessions: readonly BenchSession[] }
): Promise<MemorySample> {
  // What a proxy sets up once (code compiled, pools to the backends) is not what a connection costs.
  for (const socket of await open({ subject, count: WARM_UP_CONNECTIONS, sessions })) socket.destroy()
  await delay(SETTLE_MS)
  const beforeBytes = residentBytes(subject.child.pids())
  const sockets = await open({ subject, count: connections, sessions })
  await delay(SETTLE_MS)
  const afterBytes = residentBytes(subject.child.pids())
  const held = sockets.filter(socket => !socket.destroyed && socket.readyState === 'open').length
  for (const socket of sockets) socket.destroy()
  const bytesPer1000 = ((afterBytes - beforeBytes) / held) * 1000
  return { connections, beforeBytes, afterBytes, bytesPer1000, lost: connections - held }
}

interface Opening {
  subject: RunningSubject
  count: number
  sessions: readonly BenchSession[]
}

async function open({ subject, count, sessions }: Opening): Promise<Socket[]> {
  const sockets: Socket[] = []
  const numbers = Array.from({ length: count }, (_, index) => index).values()
  const openSome = async (): Promise<void> => {
    for (const number of numbers) {
      const session = sessions[number % sessions.length]
      if (session !== undefined) sockets.push(await openOne(subject.port, session))
    }
  }
  await Promise.all(Array.from({ length: OPENING_AT_ONCE }, openSome))
  return sockets
}

/** A connection that has had one whole answer; destroyed where that was not 200 or did not come. */
async function openOne(port: number, session: BenchSession): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.setEncoding('latin1')
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy())
  // A connection that fails is counted by its state; the event only needs a listener.
  socket.on('error', () => socket.destroy())
  socket.write(requestHead(session.id, GET))
  const answer = await readAnswer(socket)
  if (!answer.startsWith('HTTP/1.1 200')) socket.destroy()
  socket.setTimeout(0)
  return socket
}

/** Reads up to the end of the backend's JSON, or what there is when the connection closes. */
function readAnswer(socket: Socket): Promise<string> {
  return new Promise(resolve => {
    let answer = ''
    socket.on('close', () => resolve(answer))
    socket.on('data', (text: string) => {
      answer += text
      if (answer.endsWith('"}')) resolve(answer)
    })
  })
}
