const FIRST_DELAY_MS = 100
const LONGEST_DELAY_MS = 10_000
/** A worker that ran this long did not die of its start. */
const HEALTHY_MS = 60_000

/** How long to wait before a crashed worker is started again, from how long it ran and how often it crashed in a row: 100 ms, doubling, at most 10 s. Answers the new count of crashes too. */
export function restartDelay(crash: { ranMs: number; crashesBefore: number }): { delayMs: number; crashes: number } {
  const crashes = crash.ranMs >= HEALTHY_MS ? 1 : crash.crashesBefore + 1
  return { delayMs: Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(crashes - 1, 10)), crashes }
}
