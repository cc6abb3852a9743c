import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runPolicyCheck } from '../../../src/cli/commands/policy/check.ts'
import { runPolicyExplain } from '../../../src/cli/commands/policy/explain.ts'
import { runPolicyTest } from '../../../src/cli/commands/policy/test.ts'
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
    expect(out).toEqual([expect.stringMatching(/^32 policies valid, version [0-9a-f]{12}$/)])
    expect(notes).toEqual([`checked against ${join(examples, 'broker.yaml')}`])
  })

  it('takes the folder of a broker.yaml for the policies that this names', async () => {
    const { deps, out } = terminal(join(examples, '..'))
    expect(await runPolicyCheck({ dir: 'policies' }, deps)).toBe(0)
    expect(out).toEqual([expect.stringMatching(/^32 policies valid/)])
  })

  it('gives one object with --json', async () => {
    const { deps, out } = terminal('/')
    const config = join(examples, 'broker.yaml')
    await runPolicyCheck({ dir: join(examples, 'policies'), config, json: true }, deps)
    expect(out.map((line) => JSON.parse(line))).toEqual([
      {
        ok: true,
        policies: 32,
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

/** The examples, with a policy or a case more. */
function withFile(name: string, content: string): string {
  const folder = temporaryFolder('policies')
  cpSync(examples, folder, { recursive: true })
  writeFileSync(join(folder, 'policies', name), content)
  return folder
}

describe('jit policy check, of what is hardly meant', () => {
  const idle =
    '\n@id("idle")\npermit (principal in Group::"data-team", action == Action::"migrate", resource == Target::"customers-db");\n'
  const warning = {
    rule: 'no-target',
    policy: 'idle',
    at: 'policies/z.cedar:2',
    message: "no target that it is about has the task 'migrate'",
  }

  it('warns with file and line, and fails only with --strict', async () => {
    const { deps, out, notes } = terminal(withFile('z.cedar', idle))
    expect(await runPolicyCheck({}, deps)).toBe(0)
    expect(notes[0]).toBe(
      "policies/z.cedar:2: idle: no target that it is about has the task 'migrate' (no-target)",
    )
    expect(out).toEqual([expect.stringMatching(/^33 policies valid/)])
    expect(await runPolicyCheck({ strict: true }, deps)).toBe(1)
  })

  it('has the warnings in its JSON', async () => {
    const { deps, out } = terminal(withFile('z.cedar', idle))
    expect(await runPolicyCheck({ strict: true, json: true }, deps)).toBe(1)
    expect(JSON.parse(out[0] ?? '')).toMatchObject({ ok: false, warnings: [warning] })
  })
})

describe('jit policy test', () => {
  const wrong = `
cases:
  - name: anybody plans
    task: plan
    environment: dev
    expect: permit
`

  it('runs the cases beside the policies and says how many of those they cover', async () => {
    const { deps, out } = terminal(examples)
    expect(await runPolicyTest({ minCoverage: '100' }, deps)).toBe(0)
    expect(out).toEqual(['76 cases, as expected; 32 of 32 policies covered (100%)'])
  })

  it('prints one line for a case that comes otherwise, and fails', async () => {
    const { deps, out } = terminal(withFile('z.cases.yaml', wrong))
    expect(await runPolicyTest({}, deps)).toBe(1)
    expect(out).toEqual([
      'policies/z.cases.yaml:3: anybody plans: expected permit, came deny by no policy',
      '77 cases, 1 otherwise than expected; 32 of 32 policies covered (100%)',
    ])
  })

  it('fails below the coverage that is wanted, naming what no case covers', async () => {
    const idle =
      '@id("idle")\npermit (principal in Group::"security", action == Action::"plan", resource);\n'
    const { deps, out } = terminal(withFile('z.cedar', idle))
    expect(await runPolicyTest({}, deps)).toBe(0)
    expect(await runPolicyTest({ minCoverage: '96%' }, deps)).toBe(0)
    out.splice(0)
    expect(await runPolicyTest({ minCoverage: '100' }, deps)).toBe(1)
    expect(out).toEqual([
      'policies/z.cedar:1: idle decides in no case',
      '76 cases, as expected; 32 of 33 policies covered (96%, expected at least 100%)',
    ])
    await expect(runPolicyTest({ minCoverage: '101' }, deps)).rejects.toMatchObject({
      code: 'usage',
    })
  })

  it('gives one object with --json', async () => {
    const { deps, out } = terminal(withFile('z.cases.yaml', wrong))
    expect(await runPolicyTest({ json: true }, deps)).toBe(1)
    const report = JSON.parse(out[0] ?? '')
    expect(report).toMatchObject({ ok: false, coverage: { covered: 32, percent: 100 } })
    expect(report.cases.at(-1)).toEqual({
      file: 'policies/z.cases.yaml',
      line: 3,
      name: 'anybody plans',
      ok: false,
      problems: ['expected permit, came deny by no policy'],
      decision: 'deny',
      policies: [],
    })
  })

  it('says where cases belong when there are none', async () => {
    const { deps } = terminal(join(examples, '../broker'))
    const options = { dir: 'policies', config: 'minimal.yaml' }
    await expect(runPolicyTest(options, deps)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringMatching(/expected at least one \*\.cases\.yaml file$/),
    })
  })
})

describe('jit policy explain', () => {
  const deploy = {
    task: 'deploy',
    env: 'prod',
    group: ['shop-devs'],
    repository: 'github.com/acme/shop',
    branch: 'main',
  }

  it('says that a copilot is not given what no policy names', async () => {
    const { deps, out } = terminal(examples)
    const copilot = { ...deploy, principal: 'agent', owner: 'dana', task: 'plan', env: 'staging' }
    expect(await runPolicyExplain({ ...copilot, delivery: 'env' }, deps)).toBe(0)
    expect(out).toContain(
      "  staging-db: in an agent's environment only by a permit that names context.delivery",
    )
    await expect(runPolicyExplain({ ...copilot, delivery: 'prox' }, deps)).rejects.toMatchObject({
      message: expect.stringContaining('expected env, proxy'),
    })
  })

  it('says of a request what decides it, by what, and what would turn it', async () => {
    const { deps, out } = terminal(examples)
    expect(await runPolicyExplain(deploy, deps)).toBe(0)
    expect(out.slice(0, 3)).toEqual([
      'deploy in prod: waits for platform-oncall, then permitted by shop-deploy-in-production',
      '  shop-db: forbidden',
      '    forbid production-changes-need-oncall (changing production needs the approval of platform-oncall)',
    ])
    expect(out).toContain('        context.approvals = []')
    expect(out.at(-1)).toMatch(/^policies [0-9a-f]{12}$/)
  })

  it('takes approvals, labels, times and who signed in how as flags', async () => {
    const { deps, out } = terminal(examples)
    const approved = { ...deploy, approval: ['platform-oncall=2'], task: 'migrate' }
    await runPolicyExplain(approved, deps)
    expect(out[0]).toBe('migrate in prod: permitted')
    out.splice(0)
    await runPolicyExplain({ ...approved, age: '9h', time: '2026-01-10T10:00:00Z' }, deps)
    expect(out[0]).toMatch(/^migrate in prod: waits for a fresh sign-in/)
    out.splice(0)
    const ci = { principal: 'pipeline', task: 'plan', env: 'dev', repository: 'github.com/acme/x' }
    await runPolicyExplain(ci, deps)
    expect(out[0]).toBe('plan in dev: permitted')
    out.splice(0)
    const copilot = { principal: 'agent:bot', owner: 'dana', group: ['shop-devs'] }
    await runPolicyExplain({ ...copilot, task: 'plan', env: 'dev' }, deps)
    expect(out[0]).toBe('plan in dev: permitted')
    expect(out).toContain('  dev-db, asked for its owner: permitted')
    out.splice(0)
    const query = { task: 'query', target: ['customers-db'], group: ['data-team'] }
    const label = ['dataset=orders', 'rows:=5']
    await runPolicyExplain({ ...query, label, ticket: 'DATA-1' }, deps)
    expect(out[0]).toMatch(/^query: waits for security/)
    out.splice(0)
    const olga = { group: ['platform-oncall'], breakGlass: true, reason: 'down', ttl: '10m' }
    await runPolicyExplain({ ...olga, task: 'deploy', env: 'prod' }, deps)
    expect(out[0]).toBe('deploy in prod: permitted')
  })

  it('takes a case by file and name, with the broker.yaml beside its folder', async () => {
    const { deps, out } = terminal('/')
    const file = join(examples, 'policies/shop.cases.yaml')
    await runPolicyExplain({ case: `${file}#for half an hour at most`, json: true }, deps)
    expect(JSON.parse(out[0] ?? '')).toMatchObject({
      decision: 'deny',
      answers: [
        {
          near: [
            { id: 'shop-plan-in-production', unmet: [{ condition: 'context.ttl <= 1800' }] },
            {},
          ],
        },
      ],
    })
    await expect(
      runPolicyExplain({ case: `${file}#for half an hour at least` }, deps),
    ).rejects.toMatchObject({ code: 'usage', hint: "did you mean 'for half an hour at most'?" })
  })

  it.each([
    [{}, 'nothing to explain'],
    [{ task: 'deply', env: 'prod' }, "task 'deply' is not declared: did you mean 'deploy'?"],
    [{ case: 'no-hash' }, 'expected FILE#NAME'],
    [{ grant: 'g_1', task: 'plan' }, 'exclude each other'],
    [{ ...deploy, ttl: 'long' }, 'expected a duration'],
    [{ ...deploy, approval: ['platform-oncall=3'] }, 'expected 1, 2 or a list of people'],
  ])('says what is wrong with %j', async (options, message) => {
    const { deps, out } = terminal(examples)
    await expect(runPolicyExplain(options, deps)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(message),
    })
    expect(out).toEqual([])
  })
})
