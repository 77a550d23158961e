import { createLog } from '../lib/log.ts'
import { AdminServer } from './admin/admin-server.ts'
import { Gateway } from './gateway.ts'
import { formatHost } from './listen-address.ts'
import { WorkerPool } from './workers/worker-pool.ts'
import type { Logger } from '../lib/log.ts'
import type { AdminSource } from './admin/admin-source.ts'
import type { GatewayConfig } from './config.ts'

/** A gateway that runs. */
export interface RunningGateway {
  /** Where clients connect. */
  readonly url: string
  /** Health, metrics and inspection. */
  readonly adminUrl: string
  /** Drains: not ready any more, requests in progress finish within `shutdownTimeout`, then everything ends; idempotent. */
  close(): Promise<void>
}

/** Something that serves clients on one port and can be inspected. */
interface Service extends AdminSource {
  close(): Promise<void>
}

/**
 * Starts a gateway: in this process, or with `workers` above 1 in that many children that share the port. Registry trouble does not keep it from starting;
 * a port that is taken does (the system's error). `url` holds the port that was really taken.
 */
export async function startGateway(config: GatewayConfig): Promise<RunningGateway> {
  const log = createLog('fairlead-gateway', { level: config.logLevel })
  const { service, port } = config.workers > 1 ? await startWorkers(config, log) : await startHere(config, log)
  const admin = new AdminServer({ source: service, log })
  const adminUrl = await listenOrClose(admin, service, config)
  const url = `http://${formatHost(config.host)}:${port}`
  log.info({ url, adminUrl, workers: config.workers }, 'listening')
  const end = once(async () => {
    await service.close()
    // Last, so that "not ready" can be seen while the rest drains.
    await admin.close()
    log.info('closed')
  })
  return { url, adminUrl, close: end }
}

async function startHere(config: GatewayConfig, log: Logger): Promise<{ service: Service; port: number }> {
  const service = new Gateway({ config, log })
  const { port } = await service.start({ port: config.port, reusePort: false })
  return { service, port }
}

async function startWorkers(config: GatewayConfig, log: Logger): Promise<{ service: Service; port: number }> {
  const service = new WorkerPool({ config, log })
  return { service, port: await service.start() }
}

async function listenOrClose(admin: AdminServer, service: Service, config: GatewayConfig): Promise<string> {
  try {
    return await admin.listen({ host: config.adminHost, port: config.adminPort })
  } catch (error) {
    await service.close()
    throw error
  }
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null
  return () => (running ??= action())
}
