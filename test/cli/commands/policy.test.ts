import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runPolicyCheck } from '../../../src/cli/commands/policy/check.ts'
import type { Deps } from '../../../src/cli/deps.ts'
import { temporaryFolder } from '../../folder.ts'

const examples = join(import.meta.dirname, '../../../examples/policies')

function terminal(cwd: string): { deps: Deps; out: string[]; notes: string[] } {
  const out: string[] = []
  const notes: string[] = []
  const io = { out: (line: string) => out.push(line), note: (line: string) => notes.push(line) }
  return { deps: { cwd, io } as unknown as Deps, out, notes }
}

describe('jit policy check', () => {
  it('takes the broker.yaml beside the folder and counts what is valid', async () => {
    const { deps, out, notes } = terminal(examples)
    expect(await runPolicyCheck({ dir: 'policies' }, deps)).toBe(0)
    expect(out).toEqual([expect.stringMatching(/^28 policies valid, version [0-9a-f]{12}$/)])
    expect(notes).toEqual([`checked against ${join(examples, 'broker.yaml')}`])
  })

  it('gives one object with --json', async () => {
    const { deps, out } = terminal('/')
    const config = join(examples, 'broker.yaml')
    await runPolicyCheck({ dir: join(examples, 'policies'), config, json: true }, deps)
    expect(out.map((line) => JSON.parse(line))).toEqual([
      {
        ok: true,
        policies: 28,
        version: expect.stringMatching(/^[0-9a-f]{64}$/),
        config,
        warnings: [],
      },
    ])
  })

  it('tells a mistake with file and line, and prints nothing', async () => {
    const folder = temporaryFolder('check')
    cpSync(examples, folder, { recursive: true })
    const wrong = '@id("x")\npermit (principal in Group::"shop-dev", action, resource);\n'
    writeFileSync(join(folder, 'policies', 'z.cedar'), wrong)
    const { deps, out } = terminal(folder)
    await expect(runPolicyCheck({ dir: 'policies' }, deps)).rejects.toMatchObject({
      code: 'policy_invalid',
      message: `${join(folder, 'policies', 'z.cedar')}:2: group 'shop-dev' is not declared: did you mean 'shop-devs'?`,
    })
    expect(out).toEqual([])
  })

  it('names the flag where there is no configuration', async () => {
    const folder = temporaryFolder('check')
    const { deps } = terminal(folder)
    await expect(runPolicyCheck({ dir: 'policies' }, deps)).rejects.toMatchObject({
      code: 'usage',
      hint: expect.stringContaining('--config'),
    })
  })
})
