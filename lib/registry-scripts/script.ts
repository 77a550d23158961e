import { createHash } from 'node:crypto'
import { LUA_COMMON } from './common.ts'

/** A Lua script and the digest by which Redis knows it. */
export interface Script {
  readonly name: string
  readonly source: string
  readonly sha: string
}

/** Makes a script of its parts; the common functions stand before them. */
export function defineScript(name: string, ...parts: readonly string[]): Script {
  const source = [`-- ${name}`, LUA_COMMON, ...parts].join('\n')
  return { name, source, sha: createHash('sha1').update(source).digest('hex') }
}
