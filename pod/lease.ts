/** The pod's own view of its lease; asked right before anything is done that only an owner may do. */
export interface Lease {
  /** True while no other pod can have been given this pod's sessions, by the monotonic clock. */
  isGood(): boolean
  /** How long it will be good if it is not renewed, in milliseconds; 0 once it is over. */
  leftMs(): number
  /** True while backups may be written: a little longer than requests are served, so that what was answered last can still be saved. */
  mayWrite(): boolean
  /** Resolves once a heartbeat that is under way has said whether the lease is good; at once where none is. Never rejects. */
  settled(): Promise<void>
  /** Grows whenever the lease may have been lost for a while: what was looked up in an older term must be looked up again. */
  readonly term: number
}
