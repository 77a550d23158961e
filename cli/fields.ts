/** A JSON object as it came from a gateway: nothing is known about its fields. */
export type Fields = Readonly<Record<string, unknown>>

/** The objects of a list that stands either alone or under `key`; whatever is no object is left out. */
export function listUnder(body: unknown, key: string): Fields[] {
  const list: unknown = isFields(body) ? body[key] : body
  return Array.isArray(list) ? list.filter(isFields) : []
}

/** A field as a person reads it; missing ones are a dash. */
export function cell(fields: Fields, key: string): string {
  const value = fields[key]
  if (value === undefined || value === null || value === '') return '-'
  if (typeof value === 'string') return value
  return Array.isArray(value) ? value.join(',') || '-' : JSON.stringify(value)
}

/** Tells whether a value is a JSON object. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
