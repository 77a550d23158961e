import type { GoalResult, Results } from './results.ts'
import type { LoadSummary, Reference } from './summary.ts'

const SCENARIO = 'small-64'
const FAILOVER_P95_MS = 2000

const CPU_GOALS: readonly { subject: string; reference: Reference; wanted: number }[] = [
  { subject: 'fairlead', reference: 'nginx', wanted: 0.85 },
  { subject: 'fairlead+log', reference: 'nginx+log', wanted: 0.8 },
  { subject: 'fairlead-handle', reference: 'nginx', wanted: 0.85 },
  { subject: 'fairlead-handle+log', reference: 'nginx+log', wanted: 0.8 },
  { subject: 'fairlead', reference: 'http-proxy-3', wanted: 4 }
]

/** Holds the figures against what the project wants; goals whose subjects did not take part are left out. */
export function judgeGoals(results: Pick<Results, 'load' | 'failover'>): GoalResult[] {
  const summaries = results.load[SCENARIO]?.summary ?? {}
  const goals = CPU_GOALS.map(goal => cpuGoal(goal, summaries[goal.subject]))
  if (results.failover !== null) {
    const reached = results.failover.p95Ms
    const met = reached <= FAILOVER_P95_MS && results.failover.lost === 0
    goals.push({ text: 'failover after SIGKILL, p95 in ms', reached, wanted: FAILOVER_P95_MS, met })
  }
  return goals.filter(goal => goal !== null)
}

function cpuGoal(
  { subject, reference, wanted }: (typeof CPU_GOALS)[number],
  summary: LoadSummary | undefined
): GoalResult | null {
  const reached = summary?.cpuRatio[reference]?.median
  if (reached === undefined || Number.isNaN(reached)) return null
  return { text: `${SCENARIO}: CPU per request of ${reference} / ${subject}`, reached, wanted, met: reached >= wanted }
}
