import { readFileSync } from 'node:fs'

import t from 'tap'

import { renderReadme } from '../../scripts/render-readme.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

t.test('the reference in README.md is what the code says; `npm run reference` writes it anew', async t => {
  t.equal(renderReadme(readme), readme)
})

t.test('a README without a mark is an error that names it', async t => {
  t.throws(() => renderReadme(readme.replace('<!-- begin pod options -->', '')), /pod options/)
})
