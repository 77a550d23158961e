import { LF } from './ascii.ts'
import type { FieldSection } from './field-section.ts'

/** Fields that a message must keep whatever its `Connection` says, because framing and routing rest on them. */
const NEVER_NOMINATED = ['content-length', 'transfer-encoding', 'host']

/**
 * Takes the lines that `Connection` nominates out of the kept ranges. `fieldsStart` is the offset of the first field line.
 *
 * Returns false where the message nominates a field that framing or routing rests on (`protectedNames` besides the fixed
 * ones): such a message is refused.
 */
export function dropNominated(
  bytes: Buffer,
  fields: FieldSection,
  options: { fieldsStart: number; protectedNames: readonly string[] }
): boolean {
  const nominated = fields.nominated(bytes)
  if ([...NEVER_NOMINATED, ...options.protectedNames].some(name => nominated.has(name))) return false
  dropFields(bytes, fields, { fieldsStart: options.fieldsStart, names: nominated })
  return true
}

/** Takes all lines with these (lower-case) names out of the kept ranges. Rare, hence apart from the parser's loop. */
export function dropFields(
  bytes: Buffer,
  fields: FieldSection,
  options: { fieldsStart: number; names: ReadonlySet<string> }
): void {
  const ranges = [...fields.kept.subarray(0, fields.keptLength)]
  const kept: number[] = []
  for (let i = 0; i < ranges.length; i += 2) {
    const start = ranges[i]!
    const end = ranges[i + 1]!
    const firstLine = Math.max(start, options.fieldsStart)
    if (start < firstLine) kept.push(start, Math.min(firstLine, end))
    for (let line = firstLine; line < end;) {
      const next = bytes.indexOf(LF, line) + 1
      const name = bytes.toString('latin1', line, bytes.indexOf(58, line)).toLowerCase()
      if (!options.names.has(name)) pushRange(kept, line, next)
      line = next
    }
  }
  fields.kept.set(kept)
  fields.keptLength = kept.length
}

function pushRange(ranges: number[], start: number, end: number): void {
  if (ranges.length > 0 && ranges.at(-1) === start) ranges[ranges.length - 1] = end
  else ranges.push(start, end)
}
