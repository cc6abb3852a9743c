import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JitError } from '../../src/lib/errors.ts'
import { loadPolicies, parsePolicies } from '../../src/policy/load.ts'
import { temporaryFolder } from '../folder.ts'
import { EXAMPLE, policySet, question, vocabulary } from './fixtures.ts'

async function folder(files: Record<string, string>): Promise<string> {
  const dir = temporaryFolder('policies')
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content)
  return dir
}

/** The mistake in a policy whose condition is `condition`, on line 2. */
function mistake(...texts: string[]): { message: string; hint: string | undefined } {
  try {
    policySet(...texts)
  } catch (error) {
    if (error instanceof JitError && error.code === 'policy_invalid') {
      return { message: error.message, hint: error.hint }
    }
    throw error
  }
  throw new Error('expected a mistake')
}

const mistakeWhen = (condition: string) =>
  mistake(`@id("p") permit (principal, action, resource)\nwhen { ${condition} };`)

describe('a set of policies', () => {
  it('loads every .cedar file of a folder and decides', async () => {
    const dir = await folder({
      'b.cedar': EXAMPLE,
      'a.cedar':
        '// nothing; yet\n@id("plan") permit (principal, action == Action::"plan", resource);\n',
      'README.md': 'not a policy',
    })
    const set = await loadPolicies(dir, vocabulary)
    expect(set.size).toBe(3)
    expect(set.descriptions.get('production-needs-oncall')).toContain('platform-oncall')
    const plan = question({ task: 'plan', target: 'dev-db' })
    expect(set.decide(plan)).toEqual({ effect: 'permit', policies: ['plan'] })
  })

  it('has a version that tells its content, not its place or order', async () => {
    const one = { name: 'one.cedar', content: '@id("a") permit (principal, action, resource);' }
    const two = { name: 'two.cedar', content: EXAMPLE }
    const version = parsePolicies([one, two], vocabulary).version
    expect(version).toMatch(/^[0-9a-f]{64}$/)
    expect(parsePolicies([two, one], vocabulary, '/elsewhere').version).toBe(version)
    const changed = { ...one, content: `${one.content} ` }
    expect(parsePolicies([changed, two], vocabulary).version).not.toBe(version)
    const files = { 'one.cedar': one.content, 'two.cedar': two.content }
    expect((await loadPolicies(await folder(files), vocabulary)).version).toBe(version)
  })

  it.each([
    ['no policy file', {}, /expected at least one \*\.cedar file/],
    ['no policy in its files', { 'a.cedar': '// only words;\n' }, /expected at least one policy/],
    ['too large a file', { 'a.cedar': ' '.repeat(1_100_000) }, /a\.cedar: expected at most 1 MiB/],
  ])('is refused with %s', async (_, files, message) => {
    await expect(loadPolicies(await folder(files), vocabulary)).rejects.toThrow(message)
  })

  it('is refused where the folder can’t be read', async () => {
    const dir = join(await folder({}), 'nope')
    await expect(loadPolicies(dir, vocabulary)).rejects.toMatchObject({ code: 'policy_invalid' })
    const odd = await folder({})
    await mkdir(join(odd, 'folder.cedar'))
    await expect(loadPolicies(odd, vocabulary)).rejects.toMatchObject({ code: 'policy_invalid' })
  })
})

describe('a mistake in a policy is told with its file and line', () => {
  it.each([
    ['resource in Environment::"prd"', "environment 'prd' is not declared: did you mean 'prod'?"],
    [
      'principal in Group::"shop-dev"',
      "group 'shop-dev' is not declared: did you mean 'shop-devs'?",
    ],
    ['resource == Target::"shopdb"', "target 'shopdb' is not declared: did you mean 'shop-db'?"],
    ['action == Action::"depoly"', "action 'depoly' is not declared: did you mean 'deploy'?"],
    ['context.approvals.contains(Group::"oncall")', "group 'oncall' is not declared"],
    ['resource.tier == "prod"', "tier 'prod' is not declared"],
    [
      '"prodution" != resource.tier',
      "tier 'prodution' is not declared: did you mean 'production'?",
    ],
    [
      '["internal", "secret"].contains(resource.sensitivity)',
      "sensitivity 'secret' is not declared",
    ],
    ['["x"].containsAny([resource.type])', "target type 'x' is not declared"],
    ['context.delivery == "proxi"', "delivery 'proxi' is not declared: did you mean 'proxy'?"],
    ['["env", "file"].contains(context.delivery)', "delivery 'file' is not declared"],
  ])('%s', (condition, message) => {
    const { message: told, hint } = mistakeWhen(condition)
    expect(told).toContain(`a.cedar:2: ${message}`)
    expect(hint).toMatch(/^expected one of: /)
  })

  it.each([
    ['resource.tear == "production"', 'attribute `tear` on entity type `Target` not found', /tier/],
    [
      'context.labels.model == "x"',
      'unable to guarantee safety of access to optional',
      /has model/,
    ],
    ['context.labels has modle', 'policy is impossible', undefined],
    ['context.ttl == "15m"', 'the types Long and String are not compatible', /exactly/],
    ['context.ttl ==', 'unexpected token `}`', undefined],
  ])('%s', (condition, message, hint) => {
    const told = mistakeWhen(condition)
    expect(told.message).toMatch(/^a\.cedar:[12]: /)
    expect(told.message).toContain(message)
    if (hint) expect(told.hint).toMatch(hint)
  })

  it('and what only looks like one is none', () => {
    const conditions = [
      '(resource.tier == "production") == (context.reason == "x")',
      '(if resource.tier == "production" then "a" else "b") == context.reason',
      'context.labels has model && context.labels.model == "production"',
      '(if context.ttl > 5 then "production" else "development") == resource.tier',
      '{ tier: resource.tier }.tier == "production"',
    ]
    for (const condition of conditions) {
      const text = `@id("p") permit (principal, action, resource) when { ${condition} };`
      expect(policySet(text).size).toBe(1)
    }
    const branch = '(if context.ttl > 5 then "prd" else "development") == resource.tier'
    expect(mistakeWhen(branch).message).toContain("tier 'prd' is not declared")
  })

  it('an unknown grant’s task or kind', () => {
    const revoke = (condition: string) =>
      mistake(
        `@id("p") permit (principal, action == Action::"revoke", resource) when { ${condition} };`,
      )
    expect(revoke('resource.kind == "robot"').message).toContain("kind of principal 'robot'")
    expect(revoke('resource.task == "drop"').message).toContain("task 'drop'")
  })

  it('no @id, one that can’t be shown, or one twice', () => {
    const expected = 'a.cedar:3: expected each policy to begin with an @id("…") of its own'
    const plain = 'permit (principal, action, resource);'
    expect(mistake(`// first;\n@id("a") ${plain}\n${plain}`).message).toBe(expected)
    expect(mistake(`\n\n@id("a b") ${plain}`).message).toBe(expected)
    expect(mistake(`@id("a") ${plain}`, `@id("a") ${plain}`).message).toBe(
      'a.cedar:2: @id("a") is taken by a.cedar:1: expected each to be unique',
    )
  })

  it('tasks and built-in actions in one', () => {
    const both =
      '@id("p") permit (principal, action in [Action::"plan", Action::"audit"], resource);'
    expect(mistake(both).message).toContain(
      'a policy names tasks or view, revoke, approve, offboard, audit, reach, not both',
    )
  })

  it('a template, and a rest without an end', () => {
    expect(
      mistake('@id("p") permit (principal == ?principal, action, resource);').message,
    ).toContain('a.cedar:1: expected a static policy')
    const rest = '@id("p") permit (principal, action, resource);\n@id("q") permit'
    expect(mistake(rest).message).toMatch(/^a\.cedar:2: /)
  })

  it('after letters of several bytes and strings with semicolons', () => {
    const text = `@id("p") @description("für; alle") permit (principal, action, resource);
// ünïcödé; “quotes”
@id("q") permit (principal, action, resource)
when { context.reason == "ä;ö" && resource.tear == "x" };`
    expect(mistake(text).message).toMatch(/^a\.cedar:4: attribute `tear`/)
  })
})

it('a string without an end is refused in time', () => {
  const before = process.cpuUsage()
  expect(mistake(`@id("p${'\\"'.repeat(400_000)}`).message).toMatch(/^a\.cedar:1/)
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(5000)
})

describe('any text', () => {
  const pieces = fc.constantFrom(
    '@id("a")',
    'permit',
    'forbid',
    '(principal, action, resource)',
    ';',
    'when',
    '{',
    '}',
    '"',
    '\\',
    '//',
    '\n',
    'context.ttl',
    '==',
    '1',
    'Group::"x"',
    '?principal',
    ' ',
    'ü',
    '\u0000',
    '\ud800',
  )

  it('loads or fails as an invalid policy, never otherwise', () => {
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (words) => {
        try {
          parsePolicies([{ name: 'a.cedar', content: words.join('') }], vocabulary)
        } catch (error) {
          expect(error).toMatchObject({ code: 'policy_invalid' })
        }
      }),
    )
  })
})
