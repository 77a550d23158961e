import { once } from 'node:events'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, resolve } from 'node:path'
import { redactUrl } from '../../lib/config-value.ts'
import { errorText } from '../../lib/errors.ts'
import type { Finding } from './finding.ts'

/** Whether a directory can be written, or made where it is missing; makes nothing itself. */
export function directoryFinding(check: string, directory: string, flag: string): Finding {
  const path = resolve(directory)
  const existing = nearestExisting(path)
  try {
    if (!statSync(existing).isDirectory())
      return { check, result: 'fail', found: `${existing} is no directory`, fix: `choose another with ${flag}` }
    accessSync(existing, constants.W_OK | constants.X_OK)
    return { check, result: 'ok', found: existing === path ? path : `${path} (will be made)` }
  } catch (error) {
    return {
      check,
      result: 'fail',
      found: errorText(error),
      fix: `make ${existing} writable, or choose another with ${flag}`
    }
  }
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path))
}

/** Whether the pods' backup store can be used from here. */
export function storeFinding(store: string): Finding {
  if (store.startsWith('fs:'))
    return directoryFinding('backup store', store.slice('fs:'.length), '--store fs:/a/directory')
  return { check: 'backup store', result: 'info', found: `${redactUrl(store)} is checked when a pod starts` }
}

/** Whether a port can be listened on; one that is taken may well be a Fairlead that runs, so it is only a warning. */
export async function portFinding(check: string, at: { host: string; port: number; flag: string }): Promise<Finding> {
  const { host, port, flag } = at
  const server = createServer()
  try {
    server.listen(port, host)
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return { check, result: 'ok', found: port === 0 ? 'any' : `${host}:${port} is free` }
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EADDRINUSE') {
      return { check, result: 'fail', found: errorText(error), fix: `choose another with ${flag}` }
    }
    return {
      check,
      result: 'warn',
      found: `${host}:${port} is taken`,
      fix: `fine if that is Fairlead; else choose another with ${flag}`
    }
  }
}
