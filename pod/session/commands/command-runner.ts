import type { Readable } from 'node:stream'

/** What to run, and where. */
export interface CommandSpec {
  /** Program and arguments; the program is looked up in `env.PATH`. At least one element. */
  readonly argv: readonly string[]
  /** Working directory, absolute. */
  readonly directory: string
  /** The whole environment; nothing is inherited from the pod. */
  readonly env: Readonly<Record<string, string>>
}

/** How a command's first process ended. */
export type CommandExit =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signaled'; readonly signal: string; readonly signalNumber: number }
  | { readonly kind: 'not-started'; readonly reason: string }

/** A command that was asked to start. It ends by itself or by `kill`; whoever started it must consume or destroy both outputs. */
export interface RunningCommand {
  readonly stdout: Readable
  readonly stderr: Readable
  /** Settles once, when the first process is gone; what it left in its process group is killed then. Never rejects. */
  readonly exited: Promise<CommandExit>
  /** Kills the whole process group at once (SIGKILL). Idempotent; nothing happens after the exit. */
  kill(): void
}

/** Starts the processes of sessions. The plain one makes child processes of the pod; a sandbox implements the same. */
export interface CommandRunner {
  /** Starts a command; failure to start is told by `exited`, never thrown. */
  start(spec: CommandSpec): RunningCommand
  /**
   * Kills what commands left behind outside their process groups: every process that carries the mark of a session
   * directory, or with `prefix` of any directory that begins so. `still` is asked again right before each kill.
   * Resolves to the number of processes killed.
   */
  sweep(mark: string, options?: { prefix?: boolean; still?: () => boolean }): Promise<number>
}

/** Environment variable by which a session's processes are found again; its value is the session's directory. */
export const MARK_VARIABLE = 'FAIRLEAD_SESSION_DIRECTORY'
