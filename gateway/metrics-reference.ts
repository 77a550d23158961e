import { GatewayMetrics } from './metrics.ts'
import type { GaugeSources } from './metrics.ts'

const NOTHING: GaugeSources = {
  connections: () => 0,
  acceptedConnections: () => 0,
  rejectedConnections: () => 0,
  activeRequests: () => 0,
  heldRequests: () => 0,
  heldBytes: () => 0,
  pendingLookups: () => 0,
  registryAvailable: () => false,
  cachedRoutes: () => 0,
  liveMembers: () => 0,
  accessLogLines: () => 0,
  accessLogDropped: () => 0
}

/** The gateway's own metrics as a Markdown table: name, type, labels, meaning. */
export function renderMetricsReference(): string {
  const metrics = new GatewayMetrics()
  metrics.addGauges(NOTHING)
  const rows = metrics.prom
    .getMetricsAsArray()
    .map(metric => `| \`${metric.name}\` | ${String(metric.type)} | ${labelsOf(metric)} | ${metric.help} |`)
  return ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows.toSorted(), ''].join('\n')
}

function labelsOf(metric: object): string {
  const names: unknown = 'labelNames' in metric ? metric.labelNames : []
  return Array.isArray(names) ? names.map(name => `\`${String(name)}\``).join(', ') : ''
}
