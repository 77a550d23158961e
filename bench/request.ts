/** What every load sends: the head of an SDK's request, about 330 bytes in 8 fields. */
export interface RequestShape {
  method: 'GET' | 'POST'
  target: string
  /** False adds `Connection: close`. */
  keepAlive: boolean
  /** Bytes of body; 0 for none. */
  bodyBytes: number
}

/** The head of a request for one session, up to and including the empty line. */
export function requestHead(sessionId: string, shape: RequestShape): string {
  const lines = [
    `${shape.method} ${shape.target} HTTP/1.1`,
    'Host: sandbox.example.internal:8080',
    `X-Sandbox-ID: ${sessionId}`,
    'User-Agent: sandbox-sdk-python/1.4.2',
    'Accept: application/json',
    'Accept-Encoding: gzip, deflate',
    'Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.abcdefghijklmnopqrstuvwxyz0123456789',
    'X-Request-ID: 5d1c3e0a-7f0b-4a57-9c2b-0d5b8a3e6f11'
  ]
  if (!shape.keepAlive) lines.push('Connection: close')
  if (shape.bodyBytes > 0) lines.push(`Content-Length: ${shape.bodyBytes}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}
