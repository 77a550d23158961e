import { ERROR_ANSWERS } from '../errors.ts'
import { sendJson } from '../http/answer.ts'
import type { Call, Route } from '../http/call.ts'
import type { Gate } from '../http/gate.ts'
import { checkPort, identify, idFromHeaders } from '../http/identity.ts'
import type { Member } from '../member.ts'

/** What the endpoints that tell of the pod's health need. */
export interface HealthSettings {
  readonly member: Member
  readonly gate: Gate
  readonly memberId: string
  /** Text of the metrics, and their media type. */
  readonly metrics: () => Promise<{ text: string; contentType: string }>
}

/** `GET /`, `/healthz`, `/readyz` and `/metrics`; none of them is activity of a session. */
export function healthRoutes(settings: HealthSettings): Route[] {
  return [
    plain('/', call => status(call, settings)),
    plain('/healthz', async call => {
      // A pod whose name was taken by another process can only be restarted.
      const isWell = !settings.member.isSuperseded
      sendJson(call.response, isWell ? 200 : ERROR_ANSWERS.fenced.status, { status: isWell ? 'ok' : 'superseded' })
    }),
    plain('/readyz', async call => {
      const state = settings.gate.isOpen ? settings.member.state : 'fenced'
      const isReady = state === 'ready'
      sendJson(call.response, isReady ? 200 : ERROR_ANSWERS.draining.status, { status: isReady ? 'ok' : state })
    }),
    plain('/metrics', async call => {
      const { text, contentType } = await settings.metrics()
      call.response.writeHead(200, { 'content-type': contentType })
      call.response.end(text)
    })
  ]
}

function plain(path: string, handle: (call: Call) => Promise<void>): Route {
  return { kind: 'plain', method: 'GET', path, dialect: 'sandbox', handle }
}

/** Tells of the session that the headers name, or of the pod where they name none. */
async function status(call: Call, settings: HealthSettings): Promise<void> {
  const { gate, memberId } = settings
  if (idFromHeaders(call.request) === null) {
    sendJson(call.response, 200, { status: 'ok', memberId })
    return
  }
  checkPort(call.request)
  const session = await gate.admit(identify(call.request, { dialect: 'sandbox', idInPath: null }))
  sendJson(call.response, 200, { status: 'ok', sandbox: session.id, epoch: session.epoch, memberId })
}
