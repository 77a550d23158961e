import { FairleadError, errorText } from '../../lib/errors.ts'
import { createLog } from '../../lib/log.ts'
import { Gateway } from '../gateway.ts'
import { isMessage } from './messages.ts'
import type { GatewayConfig } from '../config.ts'
import type { PrimaryMessage, Question, WorkerMessage } from './messages.ts'

/** The entry of a worker process: runs one gateway on the shared port, as the primary says. */

let gateway: Gateway | null = null

function tell(message: WorkerMessage): void {
  // The primary may be gone; `disconnect` says so.
  if (process.connected) process.send?.(message, () => undefined)
}

async function start(config: GatewayConfig, port: number): Promise<void> {
  const log = createLog('fairlead-gateway', { level: config.logLevel })
  gateway = new Gateway({ config, log })
  try {
    const address = await gateway.start({ port, reusePort: true })
    tell({ kind: 'ready', port: address.port })
  } catch (error) {
    tell({ kind: 'failed', message: errorText(error) })
  }
}

function answerTo(running: Gateway, question: Question): Promise<unknown> {
  switch (question.what) {
    case 'readiness':
      return running.readiness()
    case 'metrics':
      return running.metricsAsJson()
    case 'members':
      return running.members()
    case 'sessions':
      return running.sessions(question)
  }
}

async function answer(number: number, question: Question): Promise<void> {
  try {
    if (gateway === null) throw new FairleadError('worker-starting', 'the worker has not started')
    tell({ kind: 'answer', number, value: await answerTo(gateway, question) })
  } catch (error) {
    tell({ kind: 'refusal', number, code: error instanceof FairleadError ? error.code : 'internal' })
  }
}

async function close(): Promise<void> {
  await gateway?.close()
  process.exit(0)
}

process.on('message', (message: unknown) => {
  if (!isMessage<PrimaryMessage>(message, ['start', 'ask', 'close'])) return
  if (message.kind === 'start') void start(message.config, message.port)
  else if (message.kind === 'ask') void answer(message.number, message.question)
  else void close()
})
process.on('disconnect', () => void close())
// A terminal sends these to the whole process group; the primary decides what they mean.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)
