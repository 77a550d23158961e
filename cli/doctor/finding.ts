/** What one check found. */
export interface Finding {
  check: string
  /** `fail`: Fairlead cannot work here; `warn`: it works, with a limit; `info`: nothing to do. */
  result: 'ok' | 'info' | 'warn' | 'fail'
  found: string
  /** What to do about it. */
  fix?: string
}
