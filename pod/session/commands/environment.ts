import { MARK_VARIABLE } from './command-runner.ts'

/**
 * The whole environment of a session's commands: enough to work with, and nothing of the pod's own. That keeps the pod's secrets out of what
 * commands print; it does not hide them from a command that looks for them, which runs as the pod's user and can read /proc.
 */
export function commandEnvironment(session: { id: string; directory: string; path: string }): Record<string, string> {
  return {
    PATH: session.path,
    HOME: session.directory,
    PWD: session.directory,
    LANG: 'C.UTF-8',
    SANDBOX_BASE_DIR: session.directory,
    FAIRLEAD_SESSION: session.id,
    [MARK_VARIABLE]: session.directory
  }
}
