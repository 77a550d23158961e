import type { UpstreamConnection } from './upstream-connection.ts'

/** A server that requests go to, and its connections. Made by `HttpProxy.upstream`; whoever asked for it closes it. */
export class Upstream {
  readonly host: string
  readonly port: number
  /** `Host: host:port` and CR LF. */
  readonly hostField: Buffer
  /** Connections without a request, the one used last at the end. */
  readonly idle: UpstreamConnection[] = []
  /** All connections, idle or not. */
  readonly all = new Set<UpstreamConnection>()
  closed = false
  /** Opens a connection; the proxy sets it. */
  readonly dial: (upstream: Upstream) => UpstreamConnection

  constructor(options: { host: string; port: number; dial: (upstream: Upstream) => UpstreamConnection }) {
    this.host = options.host
    this.port = options.port
    this.dial = options.dial
    this.hostField = Buffer.from(`Host: ${this.address}\r\n`, 'latin1')
  }

  /** `host:port`, with brackets around an IPv6 address. */
  get address(): string {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`
  }

  /** Connections in all. */
  get connections(): number {
    return this.all.size
  }

  /** Closes the idle connections; those in use close when their request ends. */
  close(): void {
    this.closed = true
    for (const connection of this.idle.splice(0)) connection.close()
  }

  /** The server is known to be gone: breaks every connection, so that nobody waits for an answer that will not come. */
  abandon(): void {
    this.closed = true
    for (const connection of this.all) connection.abandon()
  }
}
