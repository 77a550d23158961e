import { gatewayOptions } from '../gateway/config.ts'
import { renderMetricsReference } from '../gateway/metrics-reference.ts'
import { renderReference } from '../lib/config-reference.ts'
import { registryOptions } from '../lib/registry-options.ts'
import { podOptions } from '../pod/config.ts'

const sharedKeys = new Set<string>(registryOptions.map(option => option.key))

const SECTIONS: Readonly<Record<string, () => string>> = {
  'options of both': () => renderReference(registryOptions),
  'gateway options': () => renderReference(gatewayOptions.filter(option => !sharedKeys.has(option.key))),
  'pod options': () => renderReference(podOptions.filter(option => !sharedKeys.has(option.key))),
  'gateway metrics': renderMetricsReference
}

/** Puts the generated tables between their marks (`<!-- begin NAME -->`, `<!-- end NAME -->`). Throws where a mark is missing. */
export function renderReadme(text: string): string {
  return Object.entries(SECTIONS).reduce((readme, [name, render]) => {
    const begin = `<!-- begin ${name} -->\n`
    const end = `<!-- end ${name} -->`
    const from = readme.indexOf(begin)
    const to = readme.indexOf(end)
    if (from < 0 || to < from) throw new Error(`README.md lacks the marks of "${name}"`)
    return `${readme.slice(0, from + begin.length)}\n${render().trim()}\n\n${readme.slice(to)}`
  }, text)
}
