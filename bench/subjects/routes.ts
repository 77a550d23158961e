import { readFileSync } from 'node:fs'

/** Reads the file of `[session id, backend port]` pairs named on the command line. */
export function readRoutes(): Map<string, number> {
  const path = process.argv[2]
  if (path === undefined) throw new Error('usage: <program> ROUTES.json')
  return new Map(JSON.parse(readFileSync(path, 'utf8')) as [string, number][])
}

/** Tells the benchmark that this program is ready. */
export function announce(port: number): void {
  process.stdout.write(`${JSON.stringify({ msg: 'listening', url: `http://127.0.0.1:${port}` })}\n`)
}
