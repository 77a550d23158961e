/** `npm run demo`: a whole life of sessions against a real `fairlead dev` on free ports. Exits with 1 if any step fails, and within two minutes. */
import { rm } from 'node:fs/promises'
import { DevProcess } from './dev-process.ts'
import { Narrator } from './narrator.ts'
import { tellStory } from './story.ts'

const LONGEST_MS = 120_000

const narrator = new Narrator()
const dev = new DevProcess()
const watchdog = setTimeout(() => {
  narrator.failed(new Error(`not finished after ${LONGEST_MS / 1000} s`))
  dev.kill()
  process.exit(1)
}, LONGEST_MS)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => void dev.stop().finally(() => process.exit(1)))
}

try {
  await tellStory({ dev, narrator })
} catch (error) {
  narrator.failed(error)
  process.exitCode = 1
} finally {
  clearTimeout(watchdog)
  await dev.stop()
  await rm(dev.data, { recursive: true, force: true })
}
narrator.summary()
