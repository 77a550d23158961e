import { lstat } from 'node:fs/promises'
import { FairleadError, errorText } from '../../lib/errors.ts'
import { StoreUnavailableError } from './errors.ts'
import type { StoreFaultCode } from './errors.ts'

const FAULTS: Readonly<Record<string, StoreFaultCode>> = {
  ENOSPC: 'store-full',
  EDQUOT: 'store-full',
  EFBIG: 'store-full',
  EROFS: 'store-read-only',
  EACCES: 'store-read-only',
  EPERM: 'store-read-only'
}

/** Tells whether this is a system error with one of the codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** The error to throw for what the file system did to a store; our own errors pass as they are. */
export async function storeFault(error: unknown, context: { what: string; root: string }): Promise<FairleadError> {
  if (error instanceof FairleadError) return error
  const code = hasCode(error, 'ENOENT') ? await whatIsMissing(context.root) : (FAULTS[codeOf(error)] ?? 'store-failed')
  return new StoreUnavailableError(code, `cannot ${context.what}: ${errorText(error)}`, { cause: error })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

async function whatIsMissing(root: string): Promise<StoreFaultCode> {
  return lstat(root).then(
    () => 'store-lost',
    () => 'store-missing'
  )
}
