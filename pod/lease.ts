/** The pod's own view of its lease; asked right before anything is done that only an owner may do. */
export interface Lease {
  /** True while no other pod can have been given this pod's sessions, by the monotonic clock. */
  isGood(): boolean
  /** Grows whenever the lease may have been lost for a while: what was looked up in an older term must be looked up again. */
  readonly term: number
}
