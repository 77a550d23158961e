import { connect } from 'node:net'

/** `refused`: nothing listens there, so the process is gone. `accepted`: something does. `unknown`: no answer in time, or no way there; proves nothing. */
export type ProbeResult = 'refused' | 'accepted' | 'unknown'

/** Dials an address once and closes at once: asks whether a process still listens there. Never rejects; ends after `timeoutMs`. */
export function probe(address: { host: string; port: number }, timeoutMs: number): Promise<ProbeResult> {
  return new Promise(resolve => {
    const socket = connect({ host: address.host, port: address.port })
    const end = (result: ProbeResult) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(end, timeoutMs, 'unknown')
    socket.once('connect', () => end('accepted'))
    socket.on('error', error => end(isRefusal(error) ? 'refused' : 'unknown'))
  })
}

function isRefusal(error: Error): boolean {
  return 'code' in error && error.code === 'ECONNREFUSED'
}
