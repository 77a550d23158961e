import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import type { BenchSession } from './backend.ts'
import type { RunningSubject } from './subject.ts'

const CONCURRENCY = 32
const REPORT_MS = 200

/**
 * Sends one request for each session, and throws unless every one is answered with 200 by the session's own backend: a proxy that
 * answers by itself, or that sends everything to one place, would look fast. It also fills caches and warms the proxy up.
 */
export async function checkRouting(subject: RunningSubject, sessions: readonly BenchSession[]): Promise<void> {
  const pool = new Pool(`http://127.0.0.1:${subject.port}`, { connections: CONCURRENCY, pipelining: 1 })
  const queue = sessions.values()
  const check = async (): Promise<void> => {
    for (const session of queue) await checkSession(pool, { subject, session })
  }
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, check))
  } catch (error) {
    // If the subject has ended, its last words say more than the broken connection; the kernel needs a moment to report that.
    await delay(REPORT_MS)
    subject.child.assertRunning()
    throw error
  } finally {
    await pool.destroy()
  }
}

async function checkSession(
  pool: Pool,
  { subject, session }: { subject: RunningSubject; session: BenchSession }
): Promise<void> {
  const headers = { 'x-sandbox-id': session.id }
  const { statusCode, headers: answered, body } = await pool.request({ path: '/check', method: 'GET', headers })
  const text = await body.text()
  const port = answered['x-backend-port']
  if (statusCode === 200 && port === String(session.port)) return
  const answer = `${statusCode} from backend ${String(port)}: ${text.slice(0, 200)}`
  throw new Error(`${subject.name}: session ${session.id} of backend ${session.port} got ${answer}`)
}
