import { expect, test } from 'vitest'
import { exitCodeOf } from '../../src/cli/exit-codes.ts'
import { ERROR_CODES } from '../../src/lib/errors.ts'

test.each([
  ['usage', 2],
  ['denied', 3],
  ['approval_denied', 3],
  ['approval_pending', 6],
  ['insufficient_user_authentication', 4],
  ['limit_reached', 3],
  ['not_signed_in', 4],
  ['session_ended', 4],
  ['broker_unreachable', 5],
  ['cancelled', 130],
  ['not_found', 1],
  ['internal', 1],
] as const)('a command that fails with %s ends with %i', (code, expected) => {
  expect(exitCodeOf(code, { wraps: false })).toBe(expected)
})

test.each([
  ['command_not_executable', 126],
  ['command_not_found', 127],
  ['cancelled', 130],
  ['usage', 125],
  ['denied', 125],
  ['not_signed_in', 125],
  ['approval_pending', 6],
  ['approval_denied', 125],
  ['request_lapsed', 125],
  ['insufficient_user_authentication', 125],
] as const)('jit exec that fails with %s ends with %i', (code, expected) => {
  expect(exitCodeOf(code, { wraps: true })).toBe(expected)
})

test('jit exec fails only with codes that env(1) keeps for itself, that of Ctrl-C, or that of a request that waits', () => {
  const codes = new Set(ERROR_CODES.map((code) => exitCodeOf(code, { wraps: true })))
  expect([...codes].sort((a, b) => a - b)).toEqual([6, 125, 126, 127, 130])
})
