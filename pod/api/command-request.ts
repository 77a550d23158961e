import { errorText } from '../../lib/errors.ts'
import { PodError } from '../errors.ts'
import { keepDirectory } from '../files/keep-directory.ts'
import { readJsonObject } from '../http/body.ts'
import type { BodyLimits } from '../http/body.ts'
import type { SessionCall } from '../http/call.ts'
import type { CommandRunner } from '../session/commands/command-runner.ts'
import { commandEnvironment } from '../session/commands/environment.ts'
import { runCommand } from '../session/commands/run-command.ts'
import type { CommandOutcome, OutputName } from '../session/commands/run-command.ts'
import { splitWords } from '../session/commands/words.ts'

/** How commands are run, whichever endpoint asks for one. */
export interface CommandSettings {
  readonly runner: CommandRunner
  readonly limits: BodyLimits
  /** Throws where the lease is over; asked again right before a command starts. */
  readonly check: () => void
  readonly timeoutMs: number
  /** PATH of commands. */
  readonly path: string
}

/** A command line taken apart, or why it cannot be. */
export type ParsedCommand = { readonly argv: readonly string[] } | { readonly problem: string }

/** Reads `{"command": "..."}` from the body. A line that cannot be split is no error of the request: it is a command that cannot start. */
export async function readCommand(call: SessionCall, settings: CommandSettings): Promise<ParsedCommand> {
  const { command } = await readJsonObject(call, settings.limits)
  await keepDirectory(call.session.directory)
  // The body took its time: what the gate found may have changed.
  settings.check()
  call.signal.throwIfAborted()
  if (typeof command !== 'string') throw new PodError('bad-request', 'The body must be {"command": "<text>"}.')
  try {
    return { argv: splitWords(command) }
  } catch (error) {
    return { problem: errorText(error) }
  }
}

/**
 * Runs a command in the call's session and resolves when it has ended. Rejects with what is to be answered where the
 * client has left or the session has ended; the command is dead then.
 */
export async function runInSession(
  call: SessionCall,
  command: {
    parsed: ParsedCommand
    settings: CommandSettings
    maxOutputBytes: number
    onOutput: (name: OutputName, chunk: Buffer) => void | Promise<void>
  }
): Promise<CommandOutcome> {
  const { parsed, settings, maxOutputBytes, onOutput } = command
  if ('problem' in parsed) return { reason: 'not-started', exitCode: 1, message: `cannot start: ${parsed.problem}` }
  const { id, directory } = call.session
  const env = commandEnvironment({ id, directory, path: settings.path })
  const outcome = await runCommand({
    runner: settings.runner,
    spec: { argv: parsed.argv, directory, env },
    timeoutMs: settings.timeoutMs,
    maxOutputBytes,
    signal: call.signal,
    onOutput
  })
  // What it did before it was killed is there all the same.
  if (outcome.reason === 'aborted') call.session.saves.markDirty()
  call.signal.throwIfAborted()
  return outcome
}
