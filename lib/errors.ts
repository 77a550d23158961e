/** Base of the errors that Fairlead itself throws: `code` is stable and fit for a program, `message` says what happened and what helps, `cause` is what led to it. */
export class FairleadError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }
}

/** The text of whatever was thrown, on one line: its message, or its code where a system error has no message (an AggregateError of a failed dial). */
export function errorText(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.name
  return (thrown.message || code).replaceAll(/\s*\n\s*/g, ' ')
}
