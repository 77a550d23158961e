import { errorText } from '../lib/errors.ts'
import { newBootId } from '../lib/ids.ts'
import type { Logger } from '../lib/log.ts'
import { RegistryClient } from '../lib/registry-client.ts'
import { advertisedAddress, memberIdOf } from './advertise.ts'
import type { AgentDefinition } from './agents/definition.ts'
import { openStore } from './backup/open-store.ts'
import { commandTimeoutMs } from './config.ts'
import type { PodConfig } from './config.ts'
import { Dispatcher } from './http/dispatcher.ts'
import { Gate } from './http/gate.ts'
import { Router } from './http/router.ts'
import type { PodServer } from './http/server.ts'
import { LeasedStore } from './leased-store.ts'
import { Member } from './member.ts'
import { PodMetrics } from './metrics.ts'
import { podRoutes } from './routes.ts'
import { plainRunner } from './session/commands/plain-runner.ts'
import { SessionManager } from './session/manager.ts'
import type { DataDirectory } from './session/data-directory.ts'
import type { SessionSurroundings } from './session/session-factory.ts'
import { SessionTable } from './session/session-table.ts'
import { withinMs } from './within.ts'

/** Margin on top of a heartbeat before a young registry is believed to know every session. */
const SETTLE_MARGIN_MS = 1_000
/** How long responses that still run get once everything is handed over. */
const LAST_RESPONSES_MS = 1_000
/** Share of the drain's time that running requests get; the rest is for the last backups. */
const REQUESTS_SHARE = 0.6
const SAVE_SHARE = 0.3

/** What is there before the parts are put together. */
export interface PodGround {
  readonly server: PodServer
  /** That the server listens on. */
  readonly port: number
  readonly data: DataDirectory
  readonly definitions: ReadonlyMap<string, AgentDefinition>
  readonly log: Logger
}

/** The parts of a pod, put together once, and their order of starting and ending. The constructor does no I/O and may throw a FairleadError with code `config`. */
export class PodParts {
  readonly url: string
  readonly memberId: string
  readonly bootId = newBootId()
  readonly #config: PodConfig
  readonly #ground: PodGround
  readonly #registry: RegistryClient
  readonly #table: SessionTable
  readonly #member: Member
  readonly #around: SessionSurroundings
  readonly #manager: SessionManager
  readonly #dispatcher: Dispatcher
  #closing: Promise<void> | null = null

  constructor(config: PodConfig, ground: PodGround) {
    this.#config = config
    this.#ground = ground
    this.url = `http://${advertisedAddress('', { host: config.host, port: ground.port })}`
    this.memberId = memberIdOf(config.memberId, ground.port)
    const name = `fairlead-pod-${this.memberId}`
    this.#registry = new RegistryClient({ url: config.redisUrl, prefix: config.redisPrefix, name, log: ground.log })
    this.#table = new SessionTable(ground)
    this.#member = this.#makeMember()
    this.#around = this.#makeSurroundings()
    this.#manager = this.#makeManager()
    this.#dispatcher = this.#makeDispatcher()
  }

  /** Serves and registers. Resolves with the first heartbeat answered or failed. */
  async start(): Promise<void> {
    const { server, log } = this.#ground
    server.serve((request, response) => this.#dispatcher.handle(request, response))
    await this.#registry.start()
    await this.#member.start()
    void this.#manager.tidy()
    const { url, memberId, bootId } = this
    log.info({ url, memberId, bootId, store: this.#around.store.url, leaseIsGood: this.#member.isGood() }, 'listening')
  }

  /** Drains and ends; see `RunningPod.close`. */
  close(): Promise<void> {
    this.#closing ??= this.#close().catch((error: unknown) => {
      this.#ground.log.error({ reason: errorText(error) }, 'drain ended with an error')
    })
    return this.#closing
  }

  async #close(): Promise<void> {
    const { server, data, log } = this.#ground
    const { drainTimeoutMs, parallelBackups } = this.#config
    log.info({ sessions: this.#table.size }, 'draining')
    await this.#member.drain()
    const limits = {
      requestsMs: drainTimeoutMs * REQUESTS_SHARE,
      saveMs: drainTimeoutMs * SAVE_SHARE,
      parallel: parallelBackups
    }
    const isDone = await withinMs(drainTimeoutMs, this.#manager.handOver(limits))
    if (!isDone) log.error({ left: this.#table.size }, 'drain took too long: the rest goes as it was saved last')
    await this.#member.close()
    await server.close(LAST_RESPONSES_MS)
    await plainRunner.sweep(data.sessionsPrefix, { prefix: true })
    await this.#registry.close()
    await withinMs(LAST_RESPONSES_MS, data.close())
    log.info('ended')
  }

  #makeMember(): Member {
    const { config, port, definitions, log } = { config: this.#config, ...this.#ground }
    const address = advertisedAddress(config.advertiseAddress, { host: config.host, port })
    const agents = [...definitions.keys()]
    const { memberId: id, bootId } = this
    return new Member({
      registry: this.#registry,
      identity: { id, bootId, address, pid: process.pid, agents, capacity: config.capacity },
      sessions: this.#table,
      leaseMs: config.leaseMs,
      heartbeatMs: config.heartbeatMs,
      leaseMarginMs: config.leaseMarginMs,
      log
    })
  }

  #makeSurroundings(): SessionSurroundings {
    const { idleTimeoutMs, backupDelayMs, store } = this.#config
    return {
      registry: this.#registry,
      lease: this.#member,
      store: new LeasedStore(openStore(store), this.#member),
      data: this.#ground.data,
      runner: plainRunner,
      idleTimeoutMs,
      backupDelayMs,
      log: this.#ground.log
    }
  }

  #makeManager(): SessionManager {
    const { heartbeatMs, restoreTimeoutMs, capacity } = this.#config
    return new SessionManager({
      around: this.#around,
      table: this.#table,
      memberId: this.memberId,
      bootId: this.bootId,
      settleMs: heartbeatMs + SETTLE_MARGIN_MS,
      isDraining: () => this.#member.state === 'draining',
      restoreTimeoutMs,
      capacity
    })
  }

  #makeDispatcher(): Dispatcher {
    const { data, definitions, log } = this.#ground
    const gate = new Gate({ lease: this.#member, manager: this.#manager })
    const metrics = new PodMetrics({ table: this.#table, member: this.#member })
    const routes = podRoutes({
      config: this.#config,
      timeoutMs: commandTimeoutMs(this.#config),
      runner: plainRunner,
      data,
      definitions,
      manager: this.#manager,
      member: this.#member,
      gate,
      metrics,
      memberId: this.memberId,
      bootId: this.bootId
    })
    return new Dispatcher({ router: new Router(routes), gate, isSync: this.#config.durability === 'sync', log })
  }
}
