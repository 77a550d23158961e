/** Finds the line `{"msg":"listening","url":...}` by which our programs say that they are ready; null while there is none. */
export function listeningUrl(output: string): URL | null {
  const line = output.split('\n').find(candidate => candidate.includes('"msg":"listening"') && candidate.endsWith('}'))
  if (line === undefined) return null
  const record: unknown = JSON.parse(line)
  if (typeof record !== 'object' || record === null || !('url' in record)) return null
  return new URL(String(record.url))
}
