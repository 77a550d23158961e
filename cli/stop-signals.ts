const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

// One Ctrl-C can arrive twice: from the terminal, and once more from npm or a wrapper that passes it on.
const SAME_SIGNAL_MS = 500

/** Calls back for every wish that this process ends, with how many there were so far; one signal that arrives twice within half a second is one wish. */
export function onStopSignal(callback: (signal: string, count: number) => void): void {
  let count = 0
  let last = { signal: '', atMs: 0 }
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      const atMs = performance.now()
      const isEcho = signal === last.signal && atMs - last.atMs < SAME_SIGNAL_MS
      last = { signal, atMs }
      if (isEcho) return
      count += 1
      callback(signal, count)
    })
  }
}

const PARENT_POLL_MS = 500

/**
 * Calls back when the process that started this one is gone without a signal: a killed wrapper, or the shell between npm and this process, which does not pass
 * signals on. Not called for a shell of somebody who logged out: a program may outlive that.
 */
export function onParentGone(callback: () => void): void {
  if (process.send !== undefined) process.once('disconnect', callback)
  if (process.env['npm_execpath'] === undefined) return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    callback()
  }, PARENT_POLL_MS)
  timer.unref()
}
