import { truncateSync } from 'node:fs'
import type { Backend } from './backend.ts'
import type { Child } from './child.ts'
import type { SubjectName } from './options.ts'
import type { Setting } from './setting.ts'

/** What a subject needs to start. */
export interface SubjectContext {
  readonly setting: Setting
  readonly backend: Backend
  /** Redis that holds the sessions, for subjects that look them up there. */
  readonly redisUrl: string
}

/** A proxy that can be measured. */
export interface Subject {
  readonly name: SubjectName
  /** One sentence for the legend of the tables. */
  readonly summary: string
  /** Starts a fresh one on its own port, alone on the subjects' processor, and waits until it accepts connections. */
  start(context: SubjectContext): Promise<RunningSubject>
}

/** A proxy that runs. */
export interface RunningSubject {
  readonly name: SubjectName
  readonly port: number
  readonly child: Child
  /** Files that grow with each request; emptied after each run. */
  readonly logFiles: readonly string[]
}

/** Empties what a subject has logged: at full load an access log grows by some 10 MB a second. */
export function discardLogs(subject: RunningSubject): void {
  subject.child.discardOutput()
  for (const path of subject.logFiles) truncateSync(path)
}
