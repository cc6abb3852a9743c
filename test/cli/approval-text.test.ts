import { Chalk } from 'chalk'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { approvalChoice, approvalLines, approvalTable } from '../../src/cli/approval-text.ts'
import type { Io } from '../../src/cli/io.ts'
import { waitingReport } from '../../src/cli/waiting-report.ts'
import { systemClock } from '../../src/lib/clock.ts'
import type { ApprovalRequest } from '../../src/protocol/approval.ts'
import { approvalBy, approvalRequest } from '../run/requests.ts'

/** What a terminal obeys, or shows as nothing. */
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/u
const ALL = { now: Date.now(), columns: Infinity }

const shown = (request: ApprovalRequest, columns = Infinity) =>
  approvalLines(request, { ...ALL, columns })
const value = (lines: readonly string[], name: string) =>
  lines.filter((line) => line.startsWith(name.padEnd(13))).map((line) => line.slice(13))

describe('a request as an approver sees it', () => {
  test('is whole: who, what, where, as whom there, with what command, why and until when', () => {
    const lines = shown(approvalRequest('g_1'))
    expect(lines.join('\n')).toMatch(
      new RegExp(
        [
          'request +g_1',
          'who +dev \\(human, idp/1\\)',
          'wants +deploy in prod \\(production\\)',
          'at +shop-db: postgres, confidential data, as migrator',
          'for +15m at a time, renewed while it runs as policy allows',
          'repository +github.com/acme/shop@main \\(9fceb02d0ae598e95dc970b74767f19372d61af8\\), as the client says',
          'command +terraform apply',
          'program +/bin/tf',
          'folder +/home/dev/shop',
          'reason +release 41',
          'asked +.*',
          'demanded by +production-needs-oncall: somebody on call approves',
          'waits for +platform-oncall',
          'lapses +.*, in (30m|29m 59s)',
        ].join('\n'),
      ),
    )
  })

  test('says for whom a copilot acts, and who set a pipeline off', () => {
    const request = approvalRequest('g_1')
    const agent = { kind: 'agent' as const, id: 'idp/a', name: 'copilot', owner: 'idp/dev' }
    const lines = shown({ ...request, subject: { ...request.subject, principal: agent } })
    expect(value(lines, 'on behalf of')).toEqual(['idp/dev'])
    expect(value(lines, 'at')[0]).toMatch(/as migrator, in its environment$/)
    const pipeline = { kind: 'pipeline' as const, id: 'gh/1', name: 'ci', triggered_by: 'octocat' }
    const other = shown({ ...request, subject: { ...request.subject, principal: pipeline } })
    expect(value(other, 'set off by')).toEqual(['octocat'])
  })

  test('says that nobody gets the credential where a proxy uses it', () => {
    const { subject, ...request } = approvalRequest('g_1')
    const targets = subject.targets.map((one) => ({ ...one, delivery: 'proxy' as const }))
    const lines = shown({ ...request, subject: { ...subject, targets } })
    expect(value(lines, 'at')[0]).toMatch(/as migrator, by a proxy$/)
  })

  test('keeps apart what an issuer signed and what the client says, and tells of changes', () => {
    const claimed = { repository: 'github.com/a/b', branch: 'x', commit: 'c0', dirty: true }
    const context = { repository: 'github.com/acme/shop', branch: 'main', commit: 'd1', claimed }
    const lines = shown(approvalRequest('g_1', { context }))
    expect(value(lines, 'repository')).toEqual([
      'github.com/acme/shop@main (d1), signed by the issuer',
      'github.com/a/b@x (c0), as the client says',
    ])
    expect(lines).toContain(`${' '.repeat(13)}with changes that are not committed`)
  })

  test('says what the forge says of it, if it was asked', () => {
    const of = (commit_on_branch: boolean, branch_protected: boolean) => {
      const forge = { commit_on_branch, branch_protected }
      return shown(approvalRequest('g_1', { request: { forge } })).join('\n')
    }
    expect(of(true, true)).toContain('this commit is on this branch, which is protected')
    expect(of(true, false)).toContain('this commit is on this branch, which is not protected')
    expect(of(false, false)).toContain('the forge does not confirm this commit on this branch')
    expect(shown(approvalRequest('g_1')).join('\n')).not.toContain('forge')
  })

  test('has the reason, ticket, labels, broken glass and approvals so far', () => {
    const context = { ticket: 'T-1', labels: { model: 'small', rows: 10 }, break_glass: true }
    const approvals = [{ ...approvalBy('dana'), method: 'reauth' as const }]
    const lines = shown(approvalRequest('g_1', { context, request: { approvals } }))
    expect(value(lines, 'ticket')).toEqual(['T-1'])
    expect(value(lines, 'labels')).toEqual(['model=small, rows=10'])
    expect(value(lines, 'emergency')).toEqual(['the glass is broken: --break-glass'])
    expect(value(lines, 'approved by').join()).toMatch(
      /^dana for platform-oncall at .*, signed in anew$/,
    )
    expect(value(shown(approvalRequest('g', { context: { reason: '' } })), 'reason')).toEqual([
      '(none)',
    ])
  })
})

/** Requests in which every text is whatever somebody could come up with. */
const anyText = fc.string({ unit: 'binary', maxLength: 200 })
const anyRequest = fc
  .record({
    texts: fc.array(anyText, { minLength: 12, maxLength: 12 }),
    argv: fc.array(anyText, { minLength: 1, maxLength: 5 }),
  })
  .map(({ texts, argv }) => {
    const [a = '', b = '', c = '', d = '', e = '', f = '', g = '', h = '', i = '', j = ''] = texts
    const request = approvalRequest(a, {
      context: {
        repository: b,
        branch: c,
        commit: d,
        claimed: { repository: e, branch: f, commit: g, dirty: true },
        command: { argv, directory: h, executable: i },
        reason: j,
        ticket: a,
        labels: { [b]: c },
      },
      request: {
        policies: [{ id: d, description: e }],
        approvals: [{ ...approvalBy(f), groups: [g] }],
      },
    })
    const principal = { kind: 'agent' as const, id: h, name: i, owner: j, triggered_by: a }
    const targets = [{ name: b, type: c, sensitivity: d, rights: [e, f], delivery: 'env' as const }]
    return { ...request, subject: { ...request.subject, principal, targets } }
  })

describe('whatever a request holds', () => {
  test('nothing that a terminal obeys comes out', () => {
    fc.assert(
      fc.property(anyRequest, (request) => {
        for (const line of [
          ...shown(request),
          ...approvalTable([request], ALL),
          approvalChoice(request),
        ]) {
          expect(line).not.toMatch(OBEYED)
        }
      }),
    )
  })

  test('each line starts with a word of its own or with blanks, so that none can be made up', () => {
    const words = new Set(
      'request|who|on behalf of|set off by|wants|at|for|repository|command|program|folder|reason|ticket|labels|emergency|asked|demanded by|approved by|waits for|lapses|'.split(
        '|',
      ),
    )
    fc.assert(
      fc.property(anyRequest, fc.integer({ min: 40, max: 120 }), (request, columns) => {
        for (const line of shown(request, columns)) {
          expect(words).toContain(line.slice(0, 12).trimEnd())
          expect(line[12]).toBe(' ')
        }
      }),
    )
  })

  test('a long line is cut after a blank where it has one', () => {
    const lines = shown(approvalRequest('g_1'), 80)
    expect(lines).toContain(
      `${' '.repeat(13)}(9fceb02d0ae598e95dc970b74767f19372d61af8), as the client says`,
    )
  })

  test('no line is wider than the terminal, where the terminal would wrap it as it likes', () => {
    const reason = `${' '.repeat(200)}command      rm -rf /${'漢'.repeat(100)}`
    const lines = shown(approvalRequest('g_1', { context: { reason } }), 80)
    for (const line of lines) {
      const width = [...line].reduce((sum, character) => sum + (character > '~' ? 2 : 1), 0)
      expect(width).toBeLessThanOrEqual(80)
    }
    expect(lines.filter((line) => line.startsWith('command'))).toHaveLength(1)
  })
})

test('who approved is shown without anything that a terminal obeys', () => {
  fc.assert(
    fc.property(anyText, anyText, (name, id) => {
      const notes: string[] = []
      const io = { note: () => {}, style: new Chalk({ level: 0 }) } as unknown as Io
      const say = (...parts: string[]) => notes.push(parts.join(' '))
      const approver = { id, name }
      waitingReport({ io, env: {}, clock: systemClock }, { say, quiet: false }).approved({
        type: 'approved',
        grant: 'g_1',
        approvals: [{ ...approvalBy('x'), approver }],
      })
      expect(notes).toHaveLength(1)
      expect(notes[0]).not.toMatch(OBEYED)
    }),
  )
})
