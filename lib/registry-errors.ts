import { FairleadError } from './errors.ts'

/** The registry cannot be asked now, or what it says cannot be believed yet; code `registry-unavailable`. The same question may be answered a little later. */
export class RegistryUnavailableError extends FairleadError {
  constructor(reason: string, cause?: unknown) {
    super('registry-unavailable', `The registry is not available: ${reason}`, cause === undefined ? {} : { cause })
  }
}
