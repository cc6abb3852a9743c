import { expect, test } from 'vitest'
import { sandboxesOf, sandboxLines } from '../../src/cli/sandbox-text.ts'
import type { BrokerClient } from '../../src/client/broker.ts'
import { JitError } from '../../src/lib/errors.ts'
import type { Grant } from '../../src/protocol/grant.ts'
import type { Sandbox } from '../../src/protocol/sandbox.ts'

const NOW = Date.UTC(2026, 10, 22, 15, 0, 0)

const SANDBOX: Sandbox = {
  id: 'b_01m81tqxennbafxrgsbjkjtmjd',
  principal: { kind: 'agent', id: 'x#y/claude', name: 'claude, for dana', groups: [], owner: 'x' },
  profile: '',
  command: { argv: ['claude', '-p', 'fix it\u001b[2J'], directory: '/src', executable: '/c' },
  started_at: '2026-11-22T14:50:00.000Z',
  expires_at: '2026-11-22T16:50:00.000Z',
  domains: [],
  refused: [],
  grants: [],
}

const linesOf = (sandboxes: Sandbox[], grants: Partial<Grant>[] = []) =>
  sandboxLines(sandboxes, { grants: grants as Grant[], now: NOW, columns: 200 })

test('sandboxes are listed with their agent, its owner, what runs, what they hold and the time left', () => {
  const grants = [{ id: 'g_1', task: 'deploy', environment: 'dev' }]
  const [, title, , one, other] = linesOf(
    [
      { ...SANDBOX, grants: ['g_1', 'g_2'] },
      { ...SANDBOX, id: 'b_2' },
    ],
    grants,
  )
  expect(title).toBe('2 sandboxes; stopped by: jit revoke --agent NAME')
  expect(one?.split(/ {2,}/)).toEqual([
    SANDBOX.id,
    'claude, for dana',
    "claude -p $'fix it\\u001b[2J'",
    'deploy in dev, g_2',
    '1h 50m',
  ])
  expect(other).toMatch(/ - +1h 50m$/)
})

test('where there is none, nothing is said', () => {
  expect(linesOf([])).toEqual([])
})

test('inside a sandbox nobody sees any; another failure is one', async () => {
  const failing = (code: 'not_in_sandbox' | 'broker_unreachable') =>
    ({ sandboxes: () => Promise.reject(new JitError(code, 'no')) }) as unknown as BrokerClient
  expect(await sandboxesOf(failing('not_in_sandbox'), 'mine')).toEqual([])
  await expect(sandboxesOf(failing('broker_unreachable'), 'mine')).rejects.toThrow('no')
})
