import { Chalk } from 'chalk'
import { describe, expect, it } from 'vitest'
import type { Io } from '../../src/cli/io.ts'
import { sandboxReport } from '../../src/cli/sandbox-report.ts'
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

function report(quiet = false) {
  const lines: string[] = []
  const io = { style: new Chalk({ level: 0 }), note: (line: string) => lines.push(line) }
  const clock = { now: () => NOW, monotonic: () => 0 }
  const deps = { io: io as unknown as Io, env: {}, clock }
  return { lines, ...sandboxReport(deps, { agent: 'claude', quiet }) }
}

describe('a sandbox tells', () => {
  it('what it is, for how long, and what it may reach', () => {
    const { lines, started } = report()
    started({ ...SANDBOX, refused: ['evil.test'] }, ['AWS_PROFILE', 'GITHUB_TOKEN'])
    started({ ...SANDBOX, domains: [] }, [])
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
    finished([])
    finished(Array.from({ length: 10 }, (_, port) => ({ host: 'a.dev', port, count: 1 })))
    expect(lines[0]).toMatch(/^! out of its reach: a\.dev:0, .*a\.dev:7 and 2 more$/)
    expect(lines).toHaveLength(2)
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
    const { lines, started, waits, stopping, finished } = report(true)
    started(SANDBOX, ['A'])
    waits(WAITING)
    stopping('revoked by dana')
    finished([{ host: 'a.dev', port: 443, count: 1 }])
    expect(lines).toEqual(['jit: warning: revoked by dana: stopping everything in the sandbox'])
  })
})
