import { fileURLToPath } from 'node:url'
import { existsSync, writeFileSync } from 'node:fs'
import type { SubjectName } from '../options.ts'
import type { Subject } from '../subject.ts'
import { listeningUrl } from './listening-url.ts'

/** A proxy of our own making: a program in bench/subjects/ that gets the routes from a JSON file. */
export function nodeProgramSubject(options: { name: SubjectName; summary: string; program: string }): Subject {
  const { name, summary, program } = options
  return {
    name,
    summary,
    async start({ setting, backend }) {
      const routesFile = setting.path('routes.json')
      if (!existsSync(routesFile)) {
        writeFileSync(routesFile, JSON.stringify(backend.sessions.map(session => [session.id, session.port])))
      }
      const path = fileURLToPath(new URL(`../subjects/${program}`, import.meta.url))
      const child = setting.start({ name, command: [process.execPath, path, routesFile], place: 'subject' })
      const url = await child.until(() => listeningUrl(child.output()))
      return { name, port: Number(url.port), child, logFiles: [] }
    }
  }
}
