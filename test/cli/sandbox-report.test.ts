import { Chalk } from 'chalk'
import { describe, expect, it, vi } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { sandboxReport } from '../../src/cli/sandbox-report.ts'
import type { Grant } from '../../src/protocol/grant.ts'
import type { Sandbox } from '../../src/protocol/sandbox.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')

const SANDBOX: Sandbox = {
  id: 'x_1',
  principal: { kind: 'agent', id: 'idp/1#claude', name: 'claude, for dev', groups: [] },
  profile: 'claude',
  command: { argv: ['claude'], directory: '/shop', executable: '/usr/bin/claude' },
  started_at: '2026-11-22T12:00:00Z',
  expires_at: '2026-11-22T13:59:58Z',
  domains: ['api.anthropic.com'],
  refused: [],
  grants: [],
}

const WAITING = {
  grant: 'g_1',
  environment: 'prod',
  task: 'deploy',
  argv: ['terraform', 'apply\u001b[2J'],
  obligation: { approvals: [{ group: 'platform-oncall', people: 1 as const }] },
}

function report(quiet = false, keepsSession = false) {
  const lines: string[] = []
  const io = { style: new Chalk({ level: 0 }), note: (line: string) => lines.push(line) }
  const clock = { now: () => NOW, monotonic: () => 0 }
  const deps = { io: io as unknown as Io, env: {}, clock }
  return { lines, ...sandboxReport(deps, { agent: 'claude', keepsSession, quiet }) }
}

describe('a sandbox tells', () => {
  it('what it is, for how long, and what it may reach', () => {
    const { lines, starts } = report()
    starts({ ...SANDBOX, refused: ['evil.test'] }, ['AWS_PROFILE', 'GITHUB_TOKEN'])
    starts({ ...SANDBOX, domains: [] }, [])
    expect(lines).toEqual([
      '● claude in a sandbox · up to 2h · reaches api.anthropic.com',
      "jit: warning: policy doesn't permit it to reach evil.test",
      '  not passed on: AWS_PROFILE, GITHUB_TOKEN',
      '● claude in a sandbox · up to 2h · no network',
    ])
  })

  it('what is asked for inside and waits, with nothing that a terminal obeys', () => {
    const { lines, waits } = report()
    waits(WAITING)
    expect(lines).toEqual([
      "● claude asks: prod · deploy · terraform $'apply\\u001b[2J'",
      '  waits for platform-oncall · jit approve g_1',
    ])
  })

  it('what was out of its reach, the first of them by name', () => {
    const { lines, finished } = report()
    finished({ refused: [], undecided: [] })
    const refused = Array.from({ length: 10 }, (_, port) => ({ host: 'a.dev', port, count: 1 }))
    finished({ refused, undecided: [] })
    expect(lines[0]).toMatch(/^! out of its reach: a\.dev:0, .*a\.dev:7 and 2 more$/)
    expect(lines).toHaveLength(2)
  })

  it('what is out of its reach when it is refused: a burst in one line, and no line soon after', () => {
    vi.useFakeTimers()
    const { lines, refused, stop } = report()
    for (const host of ['a.dev', 'b.dev']) refused({ host, port: 443, count: 1 })
    vi.advanceTimersByTime(1000)
    expect(lines).toEqual(['! out of its reach: a.dev:443, b.dev:443'])
    refused({ host: 'c.dev', port: 443, count: 1 })
    vi.advanceTimersByTime(29_000)
    expect(lines).toHaveLength(1)
    vi.advanceTimersByTime(1000)
    expect(lines[1]).toBe('! out of its reach: c.dev:443')
    refused({ host: 'd.dev', port: 443, count: 1 })
    stop()
    vi.advanceTimersByTime(60_000)
    expect(lines).toHaveLength(2)
    vi.useRealTimers()
  })

  it.each([
    [false, '  the request ended with the sandbox'],
    [true, '  what becomes of it: jit show g_1'],
  ])('what nobody decided on, where its session goes on: %s', (keepsSession, becomes) => {
    const { lines, finished } = report(false, keepsSession)
    const command = { argv: ['make', 'deploy\u001b'], directory: '/shop', executable: '/bin/make' }
    const grant = { id: 'g_1', environment: 'prod', task: 'deploy', context: { command } }
    finished({ refused: [], undecided: [grant as unknown as Grant] })
    expect(lines).toEqual(["! nobody decided: prod · deploy · make $'deploy\\u001b'", becomes])
  })

  it('what has to be looked at before git or a person uses it', () => {
    const { lines, uncovered, embedded } = report(true)
    uncovered('/shop/.git/config')
    embedded('/shop/lib\u001b')
    expect(lines[0]).toMatch(
      /^jit: warning: \/shop\/\.git\/config was replaced outside, so it can be/,
    )
    expect(lines[1]).toMatch(
      /^jit: warning: \/shop\/lib\\u\{1b\} is a new repository in yours: git status/,
    )
  })

  it('with --quiet only what went wrong', () => {
    const { lines, starts, waits, stopping, finished } = report(true)
    starts(SANDBOX, ['A'])
    waits(WAITING)
    stopping('revoked by dana')
    finished({ refused: [{ host: 'a.dev', port: 443, count: 1 }], undecided: [] })
    expect(lines).toEqual(['jit: warning: revoked by dana: stopping everything in the sandbox'])
  })
})
