import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { vocabularyOf } from '../../src/broker/config/config.ts'
import { loadConfig, parseConfig } from '../../src/broker/config/load.ts'
import { parseClientConfig } from '../../src/cli/config-document.ts'
import { parseProfiles } from '../../src/context/profile.ts'
import { loadPolicies, parsePolicies } from '../../src/policy/load.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { allPages, blocksOf, page, ROOT } from './pages.ts'

const directory = join(ROOT, 'examples/broker')
const blocks = allPages().flatMap((page) =>
  blocksOf(page).map((block) => ({ ...block, where: `${page.path}:${block.line}` })),
)
const marked = (info: string) => blocks.filter((block) => block.info === info)
const fileOf = (name: string) => readFileSync(join(directory, name), 'utf8')
const read = (text: string, file: string) =>
  parseConfig({ text, file, directory, kinds: targetKinds })

describe('the example configurations', () => {
  it.each(['minimal.yaml', 'full.yaml'])(
    '%s loads, and so do the policies beside it',
    async (name) => {
      const config = await loadConfig(join(directory, name), targetKinds)
      const policies = await loadPolicies(config.policies, vocabularyOf(config))
      const said = `${policies.size} policies valid, version ${policies.version.slice(0, 12)}`
      expect(page('docs/broker.md').text).toContain(said)
    },
  )

  it('are shown in the docs as they are', () => {
    const shown = marked('yaml broker').map(({ text }) => text)
    expect(shown).toContain(fileOf('minimal.yaml'))
    expect(shown).toContain(fileOf('full.yaml'))
  })
})

describe('what the docs show', () => {
  it.each(marked('yaml broker'))('$where is a broker.yaml', ({ text, where }) => {
    expect(read(text, where).url).toMatch(/^https?:/)
  })

  it.each(marked('yaml broker-part'))('$where is a part of one', ({ text, where }) => {
    const whole = { ...parse(fileOf('full.yaml')), ...parse(text) }
    expect(read(stringify(whole), where).url).toMatch(/^https?:/)
  })

  it.each(marked('yaml profile'))('$where is a .jit.yaml', async ({ text, where }) => {
    const { profiles, sandbox } = await parseProfiles(text, where)
    expect(profiles.size > 0 || sandbox !== undefined).toBe(true)
  })

  it.each(marked('yaml config'))('$where is a config.yaml', ({ text, where }) => {
    expect(parseClientConfig(text, where)).not.toEqual({})
  })

  it.each(marked('cedar'))('$where are policies', async ({ text, where }) => {
    const config = await loadConfig(join(ROOT, 'examples/policies/broker.yaml'), targetKinds)
    const files = [{ name: where, content: text }]
    expect(parsePolicies(files, vocabularyOf(config)).size).toBeGreaterThan(0)
  })
})
