// A proxy made with http-proxy-3 as its README shows, with the keep-alive agent that it needs to be fast.
import { Agent, createServer } from 'node:http'
import httpProxy from 'http-proxy-3'
import { announce, readRoutes } from './routes.ts'

const routes = new Map([...readRoutes()].map(([id, port]) => [id, { host: '127.0.0.1', port }]))
const agent = new Agent({ keepAlive: true, maxSockets: 1024, maxFreeSockets: 64 })
const proxy = httpProxy.createProxyServer({ agent, xfwd: true })

const server = createServer((request, response) => {
  const target = routes.get(String(request.headers['x-sandbox-id']))
  if (target === undefined) {
    response.writeHead(404).end()
    return
  }
  proxy.web(request, response, { target }, () => {
    if (response.headersSent) response.destroy()
    else response.writeHead(502).end()
  })
})
server.keepAliveTimeout = 300_000
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') announce(address.port)
})
