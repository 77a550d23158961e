const DECIMAL = /^(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/

/**
 * Reads X-Sandbox-Timeout: finite seconds above 0, as milliseconds (rounded up), at most `capMs`.
 * Null means that the value is to be ignored, as agent-sandbox's router ignores it.
 */
export function parseSandboxTimeout(text: string, capMs: number): number | null {
  if (text.length > 32 || !DECIMAL.test(text)) return null
  const seconds = Number(text)
  if (!Number.isFinite(seconds) || seconds <= 0) return null
  return Math.max(1, Math.min(capMs, Math.ceil(seconds * 1000)))
}
