import type { GatewayConfig } from '../../gateway/config.ts'
import type { PodConfig } from '../../pod/config.ts'
import { bpfFinding, cgroupFinding, nodeFinding, openFilesFinding, procFinding } from './machine.ts'
import { directoryFinding, portFinding, storeFinding } from './places.ts'
import type { Finding } from './finding.ts'
import { redisFinding, redisServerFinding } from './redis.ts'

/** Runs every check with the configuration that gateway and pod would use; never rejects because of what a check finds. */
export async function runChecks(config: { gateway: GatewayConfig; pod: PodConfig }): Promise<Finding[]> {
  const { gateway, pod } = config
  const checks: (Finding | Promise<Finding>)[] = [
    nodeFinding(),
    redisServerFinding(),
    redisFinding(gateway.redisUrl),
    directoryFinding('data directory', pod.dataDirectory, '--data-directory of the pod'),
    storeFinding(pod.store),
    portFinding('gateway port', { host: gateway.host, port: gateway.port, flag: '--port' }),
    portFinding('admin port', { host: gateway.adminHost, port: gateway.adminPort, flag: '--admin-port' }),
    portFinding('pod port', { host: pod.host, port: pod.port, flag: '--port of the pod' }),
    openFilesFinding(),
    procFinding(),
    cgroupFinding(),
    bpfFinding()
  ]
  return Promise.all(checks.map(async check => check))
}
