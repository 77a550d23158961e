import { writeFileSync } from 'node:fs'
import type { Backend } from '../backend.ts'
import type { RunningSubject, Subject, SubjectContext } from '../subject.ts'
import { accepts, freePort } from './free-port.ts'

/** HAProxy with one thread and no log. */
export const haproxySubject: Subject = {
  name: 'haproxy',
  summary: 'HAProxy, one thread, no log',
  start: startHaproxy
}

async function startHaproxy({ setting, backend }: SubjectContext): Promise<RunningSubject> {
  const port = await freePort()
  const prefix = setting.path(`haproxy-${port}`)
  const mapLines = backend.sessions.map(session => `${session.id} member_${session.port}\n`)
  writeFileSync(`${prefix}.map`, mapLines.join(''))
  writeFileSync(`${prefix}.cfg`, configuration({ prefix, port, backend }))
  const child = setting.start({ name: 'haproxy', command: ['haproxy', '-db', '-f', `${prefix}.cfg`], place: 'subject' })
  await child.until(() => accepts(port))
  return { name: 'haproxy', port, child, logFiles: [] }
}

// http-no-delay: without it HAProxy holds small chunks of a stream back for 40 ms and more.
function configuration({ prefix, port, backend }: { prefix: string; port: number; backend: Backend }): string {
  const members = backend.ports.map(
    backendPort => `backend member_${backendPort}\n  server member 127.0.0.1:${backendPort}\n`
  )
  return `
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
  option http-no-delay
  option forwardfor
frontend sessions
  bind 127.0.0.1:${port} backlog 4096
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto http
  use_backend %[req.hdr(x-sandbox-id),map_str(${prefix}.map)]
${members.join('')}`
}
