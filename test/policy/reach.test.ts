import { describe, expect, it } from 'vitest'
import { readCases } from '../../src/policy/cases.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import type { Principal } from '../../src/protocol/principal.ts'
import { vocabulary } from './fixtures.ts'

const agent: Principal = { kind: 'agent', id: 'kim#cli/c', name: 'c', owner: 'kim', groups: [] }

const setOf = (content: string) => parsePolicies([{ name: 'reach.cedar', content }], vocabulary)

/** What policies say to a domain, in a word and the ids that said so. */
function asker(content: string, { program = 'claude', profile = '' } = {}) {
  const set = setOf(content)
  return (domain: string, principal = agent) => {
    const context = { authentication: { acr: '', amr: [], at: 0 }, now: 1_000_000 }
    const { effect, policies } = set.decideOn({
      principal,
      action: 'reach',
      domain,
      profile,
      program,
      context,
    })
    return [effect, ...policies].join(' ')
  }
}

const PERMIT = `@id("tools") permit (principal is Agent, action == Action::"reach", resource in Domain::"example.com");`

describe('what a sandbox may reach', () => {
  it('is nothing where no policy says so', () => {
    const ask = asker('@id("x") permit (principal, action == Action::"audit", resource);')
    expect(ask('example.com')).toBe('deny')
  })

  it('is a domain and all below it, and nothing that only ends like it', () => {
    const ask = asker(PERMIT)
    expect(ask('example.com')).toBe('permit tools')
    expect(ask('a.b.example.com')).toBe('permit tools')
    expect(ask('evilexample.com')).toBe('deny')
    expect(ask('example.com.evil.net')).toBe('deny')
    expect(ask('com.example')).toBe('deny')
  })

  it('is all below a name only where policy permits what is below it, not the name alone', () => {
    expect(asker(PERMIT)('*.example.com')).toBe('permit tools')
    const exact = asker(PERMIT.replace('resource in', 'resource =='))
    expect(exact('example.com')).toBe('permit tools')
    expect(exact('*.example.com')).toBe('deny')
  })

  it('is all below a name, and not that name, where policy names the wildcard', () => {
    const ask = asker(PERMIT.replace('example.com', '*.example.com'))
    expect(ask('*.example.com')).toBe('permit tools')
    expect(ask('a.b.example.com')).toBe('permit tools')
    expect(ask('*.b.example.com')).toBe('permit tools')
    expect(ask('example.com')).toBe('deny')
    expect(ask('*.com')).toBe('deny')
  })

  it('is not all below a name where something there is forbidden, however that is written', () => {
    for (const forbid of [
      '(principal, action == Action::"reach", resource == Domain::"secret.example.com")',
      '(principal, action == Action::"reach", resource) when { resource in Domain::"x.secret.example.com" }',
      '(principal, action == Action::"reach", resource in Domain::"*.secret.example.com")',
      '(principal, action == Action::"reach", resource) when { [Domain::"other.com", Domain::"secret.example.com"].contains(resource) }',
    ]) {
      const ask = asker(`${PERMIT} @id("no") forbid ${forbid};`)
      expect(ask('*.example.com')).toBe('deny no')
      expect(ask('*.example.com:443')).toBe('deny no')
      expect(ask('fine.example.com')).toBe('permit tools')
    }
  })

  it('is decided on the port; none is any, which no policy about one port permits', () => {
    const ask = asker(PERMIT.replace(';', ' when { resource.port == 443 };'))
    expect(ask('example.com:443')).toBe('permit tools')
    expect(ask('example.com:22')).toBe('deny')
    expect(ask('example.com')).toBe('deny')
  })

  it('is decided on the program and the profile', () => {
    const when = ' when { context.program == "claude" && context.profile == "review" };'
    const policy = PERMIT.replace(';', when)
    expect(asker(policy, { profile: 'review' })('example.com')).toBe('permit tools')
    expect(asker(policy, { profile: 'review', program: 'sh' })('example.com')).toBe('deny')
    expect(asker(policy)('example.com')).toBe('deny')
  })

  it('is never asked of anybody but a copilot', () => {
    const person: Principal = { kind: 'human', id: 'kim', name: 'kim', groups: [] }
    const ask = asker('@id("a") permit (principal, action == Action::"reach", resource);')
    expect(ask('example.com')).toBe('permit a')
    expect(ask('example.com', person)).toBe('deny')
  })
})

describe('a policy on domains', () => {
  it.each(['Example.com', 'example.com:443', 'https://example.com', '*', ''])(
    'that names %j, which could never match, is refused with its line',
    (name) => {
      const policy = `\n@id("x")\npermit (principal, action == Action::"reach", resource in Domain::"${name}");`
      expect(() => setOf(policy)).toThrow(/reach\.cedar:\d.*domain/)
    },
  )

  it('about people is refused: only copilots are in sandboxes', () => {
    expect(() => setOf(PERMIT.replace('is Agent', 'is Human'))).toThrow(/reach\.cedar/)
  })
})

describe('a case that reaches', () => {
  const policies = setOf(PERMIT)
  const inventory = { ...vocabulary, abilities: {} }
  const cases = (body: string) =>
    readCases(`cases:\n  - name: it\n    ${body}\n    expect: deny\n`, 'x.cases.yaml', {
      inventory,
      policies,
    })

  it('names a domain, and a copilot', () => {
    const copilot = 'principal: { kind: agent, owner: kim }'
    const [one] = cases(`${copilot}\n    action: reach\n    domain: example.com\n    profile: dev`)
    expect(one?.stated).toMatchObject({
      kind: 'built-in',
      question: { action: 'reach', domain: 'example.com', profile: 'dev', program: 'true' },
    })
    expect(() => cases(`${copilot}\n    action: reach`)).toThrow('expected the domain')
    expect(() => cases('action: reach\n    domain: example.com')).toThrow('expected an agent')
    expect(() => cases(`${copilot}\n    action: reach\n    domain: localhost`)).toThrow(
      'expected a domain',
    )
  })
})
