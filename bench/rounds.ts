import type { SubjectName } from './options.ts'

/** What was measured of each subject, by round. */
export type Samples<Sample> = ReadonlyMap<SubjectName | 'direct', readonly Sample[]>

/**
 * Measures everybody in turn, round after round, in reversed order every other round: what disturbs the machine for a while then meets
 * all of them, and ratios taken within a round stay fair. With `warmUp`, a round before the first is thrown away.
 */
export async function interleave<Runner extends { readonly name: SubjectName | 'direct' }, Sample>(
  runners: readonly Runner[],
  { rounds, warmUp }: { rounds: number; warmUp: boolean },
  measure: (runner: Runner) => Promise<Sample>
): Promise<Samples<Sample>> {
  if (warmUp) for (const runner of runners) await measure(runner)
  const samples = new Map<SubjectName | 'direct', Sample[]>(runners.map(runner => [runner.name, []]))
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? runners : runners.toReversed()
    for (const runner of order) samples.get(runner.name)?.push(await measure(runner))
  }
  return samples
}
