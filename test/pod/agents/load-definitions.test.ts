import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createLog } from '../../../lib/log.ts'
import { loadDefinitions } from '../../../pod/agents/load-definitions.ts'
import { parseDefinition } from '../../../pod/agents/parse-definition.ts'

const FULL = `---
name: Coder
description: Writes code
model: some-model
provider: some-provider
tools: [bash, read_file]
mcpServers:
  docs: { command: docs-server }
delegates: reviewer, tester
temperature: 0.5
maxSteps: 20
greeting: "Hello: there"
---

You write code.

---
That line is part of the prompt.
`

t.test('front matter and prompt become a definition', async t => {
  t.same(parseDefinition('coder', FULL), {
    unknownKeys: [],
    definition: {
      id: 'coder',
      name: 'Coder',
      description: 'Writes code',
      model: 'some-model',
      provider: 'some-provider',
      tools: ['bash', 'read_file'],
      mcpServers: { docs: { command: 'docs-server' } },
      delegates: ['reviewer', 'tester'],
      temperature: 0.5,
      maxSteps: 20,
      greeting: 'Hello: there',
      systemPrompt: 'You write code.\n\n---\nThat line is part of the prompt.'
    }
  })
})

t.test('everything has a default, CRLF and a BOM do no harm, and unknown keys are told', async t => {
  const parsed = parseDefinition('tiny', '\uFEFF---\r\ncolour: red\r\n---\r\nHi')
  t.match(parsed.definition, { name: 'tiny', model: null, maxSteps: 10, systemPrompt: 'Hi' })
  t.same(parsed.definition.tools, ['bash', 'read_file', 'write_file', 'edit_file'])
  t.same(parsed.unknownKeys, ['colour'])
  t.equal(parseDefinition('empty', '---\n---\n').definition.systemPrompt, '')
})

for (const [text, message] of [
  ['no front matter', /front matter between/],
  ['---\nname: x\n', /front matter between/],
  ['---\n- a\n---\n', /mapping/],
  ['---\na: [\n---\n', /front matter/],
  ['---\nmaxSteps: 0\ntemperature: hot\ntools: 7\nname: [x]\n---\n', /name.*tools.*temperature.*maxSteps/]
] as const) {
  t.test(`refuses ${JSON.stringify(text)}`, async t => {
    t.throws(() => parseDefinition('x', text), { name: 'RangeError', message })
  })
}

t.test('a directory is read, a bad file is left out, and shell is always there', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-agents-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  await writeFile(join(directory, 'coder.md'), FULL)
  await writeFile(join(directory, 'Bad Name.md'), FULL)
  await writeFile(join(directory, 'broken.md'), 'nothing')
  await writeFile(join(directory, 'notes.txt'), 'not an agent')
  const log = createLog('test', { level: 'silent' })
  t.same([...(await loadDefinitions(directory, log)).keys()], ['shell', 'coder'])
  t.same([...(await loadDefinitions('', log)).keys()], ['shell'])
  await t.rejects(loadDefinitions(join(directory, 'missing'), log), { code: 'ENOENT' })
})
