import { writeFileSync } from 'node:fs'
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
