import type { Dialect } from '../errors.ts'
import type { Route } from './call.ts'

/** What a request target leads to. */
export type Match =
  | { readonly kind: 'found'; readonly route: Route; readonly params: readonly string[] }
  /** The path is known; `allow` lists its methods. */
  | { readonly kind: 'bad-method'; readonly dialect: Dialect; readonly allow: readonly string[] }
  | { readonly kind: 'unknown'; readonly dialect: Dialect }

/** Finds routes by raw path, segment by segment and byte for byte: nothing is decoded, no dot segment is resolved. */
export class Router {
  readonly #routes: readonly { route: Route; segments: readonly string[] }[]

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map(route => ({ route, segments: route.path.split('/').slice(1) }))
  }

  /** Matches a method and a request target in origin form; HEAD is taken for GET. Rows above win. */
  match(method: string, target: string): Match {
    const path = target.split('?', 1)[0]!
    const given = path.split('/').slice(1)
    const allow: string[] = []
    let dialect = dialectOf(path)
    for (const { route, segments } of this.#routes) {
      const params = matchSegments(segments, given)
      if (params === null) continue
      if (route.method === (method === 'HEAD' ? 'GET' : method)) return { kind: 'found', route, params }
      allow.push(route.method)
      dialect = route.dialect
    }
    return allow.length > 0 ? { kind: 'bad-method', dialect, allow } : { kind: 'unknown', dialect }
  }
}

function dialectOf(path: string): Dialect {
  return /^\/(agents|instances)(\/|$)/.test(path) ? 'regina' : 'sandbox'
}

function matchSegments(segments: readonly string[], given: readonly string[]): string[] | null {
  const params: string[] = []
  for (const [i, segment] of segments.entries()) {
    const value = given[i]
    if (segment === '*') return [...params, given.slice(i).join('/')]
    if (value === undefined) return null
    if (segment.startsWith(':')) {
      if (value === '') return null
      params.push(value)
    } else if (segment !== value) return null
  }
  return given.length === segments.length ? params : null
}
