import { setTimeout as sleep } from 'node:timers/promises'
import { AccessLog } from './access-log.ts'
import { assembleGateway } from './assemble.ts'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../lib/log.ts'
import type { AdminSource, MemberView, Readiness, SessionPage } from './admin/admin-source.ts'
import type { GatewayParts } from './assemble.ts'
import type { GatewayConfig } from './config.ts'

const REGISTRY_WATCH_MS = 200

/** One gateway in one process: everything but the admin listener. */
export class Gateway implements AdminSource {
  readonly #config: GatewayConfig
  readonly #log: Logger
  #accessLog: AccessLog | null = null
  #parts: GatewayParts | null = null
  #registryWatch: NodeJS.Timeout | null = null
  #wasAvailable = false
  #closing: Promise<void> | null = null

  constructor(options: { config: GatewayConfig; log: Logger }) {
    this.#config = options.config
    this.#log = options.log
  }

  /** Starts to serve; `port` stands for the config's. Rejects with the system's error where the port or the access log cannot be opened; nothing is left open then. */
  async start(options: { port: number; reusePort: boolean }): Promise<AddressInfo> {
    const { accessLog, accessLogPath, host } = this.#config
    if (accessLog) this.#accessLog = await AccessLog.open(accessLogPath, this.#log)
    this.#parts = assembleGateway({ config: this.#config, log: this.#log, accessLog: this.#accessLog })
    this.#parts.metrics.addProcessMetrics()
    try {
      await this.#parts.registry.start()
      this.#noteAvailable()
      this.#registryWatch = setInterval(() => this.#noteAvailable(), REGISTRY_WATCH_MS)
      return await this.#parts.proxy.listen({ host, ...options })
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Says "not ready", waits for load balancers to notice, lets requests in progress finish, then ends everything; idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async readiness(): Promise<Readiness> {
    if (this.#closing !== null) return 'draining'
    this.#noteAvailable()
    return this.#wasAvailable ? 'ready' : 'starting'
  }

  async metrics(): Promise<string> {
    return await this.#running().metrics.prom.metrics()
  }

  /** The metrics in the form that prom-client adds up over processes. */
  async metricsAsJson(): Promise<readonly object[]> {
    return await this.#running().metrics.prom.getMetricsAsJSON()
  }

  async members(): Promise<readonly MemberView[]> {
    return this.#running()
      .registry.members()
      .map(({ id, bootId, address, state, pid, agents, capacity, sessions }) => {
        return { id, bootId, address, state, pid, agents, capacity, sessions }
      })
  }

  async sessions(options: { cursor?: string; limit: number }): Promise<SessionPage> {
    return await this.#running().registry.listSessions(options)
  }

  /** Once the registry was reached, that holds for good. */
  #noteAvailable(): void {
    this.#wasAvailable ||= this.#parts?.registry.available ?? false
    if (this.#wasAvailable && this.#registryWatch !== null) clearInterval(this.#registryWatch)
  }

  #running(): GatewayParts {
    if (this.#parts === null) throw new Error('the gateway has not started')
    return this.#parts
  }

  async #close(): Promise<void> {
    const { drainDelayMs, shutdownTimeoutMs } = this.#config
    const parts = this.#parts
    if (this.#registryWatch !== null) clearInterval(this.#registryWatch)
    if (parts !== null) {
      if (drainDelayMs > 0) await sleep(drainDelayMs)
      await parts.proxy.drain(shutdownTimeoutMs)
      parts.mover.close()
      parts.managementUpstream.close()
      parts.management.close()
      await parts.client.close()
      await parts.registry.close()
    }
    await this.#accessLog?.close()
  }
}
