/** Waits for work, but not longer than that; false: it was not done by then, and goes on. Rejects as the work does. */
export async function withinMs(limitMs: number, work: Promise<unknown>): Promise<boolean> {
  const limit = Promise.withResolvers<false>()
  const timer = setTimeout(() => limit.resolve(false), limitMs)
  try {
    return await Promise.race([work.then(() => true), limit.promise])
  } finally {
    clearTimeout(timer)
  }
}
