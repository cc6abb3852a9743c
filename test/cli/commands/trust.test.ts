import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runTrust } from '../../../src/cli/commands/trust.ts'
import type { Deps } from '../../../src/cli/deps.ts'
import { trustedProfile } from '../../../src/context/trust.ts'
import { pathsFrom } from '../../../src/lib/paths.ts'
import { temporaryFolder } from '../../folder.ts'

const PROFILES =
  'version: 1\nprofiles:\n  deploy: { environment: prod, task: deploy, ttl: 15m, reason: "a\\u001b[2Jb" }\n'

/** A person in a folder with a `.jit.yaml`, who answers `answer`. */
function person({
  answer = true,
  profiles = PROFILES,
  env = {},
}: {
  answer?: boolean
  profiles?: string
  env?: Record<string, string>
}) {
  const cwd = temporaryFolder('trust')
  if (profiles) writeFileSync(join(cwd, '.jit.yaml'), profiles)
  const paths = pathsFrom({ HOME: temporaryFolder('trust-home') })
  const out: string[] = []
  const notes: string[] = []
  const asked: string[] = []
  const io = { out: (line: string) => out.push(line), note: (line: string) => notes.push(line) }
  const prompt = {
    confirm: async ({ flag }: { flag: string }) => {
      asked.push(flag)
      return answer
    },
  }
  const deps = { cwd, env, io, paths, prompt } as unknown as Deps
  const profile = () => trustedProfile('deploy', { directory: cwd, root: undefined, paths })
  return { cwd, deps, out, notes, asked, profile }
}

describe('jit trust', () => {
  it('shows what is asked for, with nothing a terminal obeys, and trusts what was agreed to', async () => {
    const { deps, notes, asked, profile, cwd } = person({})
    expect(await runTrust({}, deps)).toBe(0)
    expect(asked).toEqual(['--yes'])
    expect(notes).toEqual([
      `${join(cwd, '.jit.yaml')} asks for:`,
      '  deploy: prod · deploy · every target of the task · 15m · "a\\u{1b}[2Jb"',
      `trusted: ${join(cwd, '.jit.yaml')}`,
    ])
    expect(await profile()).toMatchObject({ task: 'deploy' })
    await runTrust({}, deps)
    expect(asked).toHaveLength(1)
  })

  it('says it plainly where the locale has no UTF-8', async () => {
    const { deps, notes } = person({ env: { LC_ALL: 'C' } })
    await runTrust({}, deps)
    expect(notes[1]).toContain('  deploy: prod - deploy - every target of the task - 15m')
  })

  it('trusts nothing that was not agreed to', async () => {
    const { deps, profile } = person({ answer: false })
    await expect(runTrust({}, deps)).rejects.toMatchObject({ code: 'cancelled' })
    await expect(profile()).rejects.toMatchObject({ code: 'profile_untrusted' })
  })

  it('asks nothing with --yes, prints one object with --json, and takes it back with --remove', async () => {
    const { deps, out, asked, profile, cwd } = person({})
    await runTrust({ yes: true, json: true }, deps)
    await runTrust({ remove: true, json: true }, deps)
    expect(asked).toEqual([])
    const path = join(cwd, '.jit.yaml')
    const hash = expect.stringMatching(/^[0-9a-f]{64}$/)
    expect(out.map((line) => JSON.parse(line))).toEqual([
      { path, hash, trusted: true },
      { path, hash, trusted: false },
    ])
    await expect(profile()).rejects.toMatchObject({ code: 'profile_untrusted' })
  })

  it('never trusts a file with a mistake, and says where none is', async () => {
    const broken = person({ profiles: 'version: 1\nbroker: https://evil.example\n' })
    await expect(runTrust({ yes: true }, broken.deps)).rejects.toMatchObject({
      code: 'profile_invalid',
    })
    const none = person({ profiles: '' })
    await expect(runTrust({ yes: true }, none.deps)).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('jit trust, once the file is another', () => {
  it('says what it asks for now, and what has changed since it was trusted', async () => {
    const { cwd, deps, notes } = person({
      profiles: `version: 1
profiles:
  deploy: { environment: prod, task: deploy, ttl: 15m }
  plan: { environment: prod, task: plan }
  old: { environment: dev, task: plan }
`,
    })
    await runTrust({}, deps)
    notes.length = 0
    writeFileSync(
      join(cwd, '.jit.yaml'),
      `version: 1
profiles:
  deploy: { environment: prod, task: deploy, ttl: 8h, commands: [make deploy, terraform apply *] }
  plan: { environment: prod, task: plan }
  new: { environment: dev, task: deploy }
sandbox: { hidden: [keys] }
`,
    )
    await runTrust({}, deps)
    const deploy = 'prod · deploy · every target of the task'
    expect(notes).toEqual([
      `${join(cwd, '.jit.yaml')} asks for:`,
      `  deploy: ${deploy} · 8h · for 'make deploy', 'terraform apply *'`,
      '  plan: prod · plan · every target of the task',
      '  new: dev · deploy · every target of the task',
      '  sandboxes here: without keys',
      'changed since it was trusted:',
      `  ~ deploy: ${deploy} · 8h · for 'make deploy', 'terraform apply *'`,
      `    was ${deploy} · 15m`,
      '  + new: dev · deploy · every target of the task',
      '  - old: dev · plan · every target of the task',
      '  + sandboxes here: without keys',
      `trusted: ${join(cwd, '.jit.yaml')}`,
    ])
  })

  it('says so where it asks for the same, or where what was trusted is not known any more', async () => {
    const { cwd, deps, notes } = person({})
    await runTrust({}, deps)
    writeFileSync(join(cwd, '.jit.yaml'), `# a comment\n${PROFILES}`)
    await runTrust({}, deps)
    expect(notes).toContain('it is not what was trusted, but asks for the same')
    for (const name of readdirSync(deps.paths.data)) {
      if (name.endsWith('.yaml')) rmSync(join(deps.paths.data, name))
    }
    writeFileSync(join(cwd, '.jit.yaml'), `# another\n${PROFILES}`)
    await runTrust({}, deps)
    expect(notes).toContain(
      'it was trusted in another content, and what that said is not known any more',
    )
  })

  it('keeps one text a file, and none once it is trusted no longer', async () => {
    const { cwd, deps } = person({})
    const kept = () => readdirSync(deps.paths.data).filter((name) => name.endsWith('.yaml'))
    await runTrust({}, deps)
    writeFileSync(join(cwd, '.jit.yaml'), `# a comment\n${PROFILES}`)
    await runTrust({}, deps)
    expect(kept()).toHaveLength(1)
    await runTrust({ remove: true }, deps)
    expect(kept()).toEqual([])
  })
})
