// The HTTP engine alone: a table in memory instead of the registry, no metrics, no log. What it costs less than the whole gateway is
// what the gateway adds.
import { BlockList } from 'node:net'
import type { Exchange } from '../../gateway/http/exchange.ts'
import { HttpProxy } from '../../gateway/http/http-proxy.ts'
import type { RequestHead } from '../../gateway/http/request-head.ts'
import type { Answer, Resolver, Route } from '../../gateway/http/resolver.ts'
import type { Upstream } from '../../gateway/http/upstream.ts'
import { announce, readRoutes } from './routes.ts'

function answer(status: number, outcome: string): Answer {
  return { kind: 'answer', status, fields: '', body: '', outcome }
}

const NOT_FOUND = answer(404, 'no-session')
const BAD_GATEWAY = answer(502, 'upstream-failed')

class TableResolver implements Resolver {
  readonly #routes: Map<string, Route>

  constructor(routes: Map<string, Route>) {
    this.#routes = routes
  }

  resolve(head: RequestHead, _exchange: Exchange): Route | Answer {
    return this.#routes.get(head.captured(0) ?? '') ?? NOT_FOUND
  }

  retry(): Answer {
    return BAD_GATEWAY
  }

  finish(): void {
    // Nothing to count: this subject is the engine without metrics and log.
  }
}

const routes = new Map<string, Route>()
const proxy = new HttpProxy({
  resolver: new TableResolver(routes),
  capturedFields: ['x-sandbox-id'],
  strippedFields: ['x-fairlead-session', 'x-fairlead-epoch'],
  trustedProxies: new BlockList(),
  keepTarget: false
})
const upstreams = new Map<number, Upstream>()
for (const [id, port] of readRoutes()) {
  const upstream = upstreams.get(port) ?? proxy.upstream('127.0.0.1', port)
  upstreams.set(port, upstream)
  const addedFields = `X-Fairlead-Session: ${id}\r\nX-Fairlead-Epoch: 1\r\n`
  routes.set(id, { kind: 'route', upstream, addedFields })
}
const address = await proxy.listen({ host: '127.0.0.1', port: 0 })
announce(address.port)
