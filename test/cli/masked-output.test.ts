import { describe, expect, test } from 'vitest'
import { maskedStreams } from '../../src/cli/masked-output.ts'

const PIPED = { stdout: false, stderr: false }

describe('by itself, output is masked', () => {
  test.each([
    ['for a copilot', { JIT_AGENT: 'claude' }, ['stdout', 'stderr']],
    ['in a sandbox', { JIT_SANDBOX: 'http://127.0.0.1:7421' }, ['stdout', 'stderr']],
    ['in CI', { CI: 'true' }, ['stdout', 'stderr']],
    ['not for a person', {}, []],
    ['not where CI is off', { CI: 'false' }, []],
  ])('%s', (_, env, streams) => {
    expect(Object.keys(maskedStreams('auto', { env, terminals: PIPED }))).toEqual(streams)
  })

  test('but never on a terminal: the other stream is', () => {
    const terminals = { stdout: true, stderr: false }
    const masked = maskedStreams('auto', { env: { CI: '1' }, terminals })
    expect(Object.keys(masked)).toEqual(['stderr'])
  })
})

test('never is never, and always is for a person, too', () => {
  expect(maskedStreams('never', { env: { CI: '1' }, terminals: PIPED })).toEqual({})
  expect(Object.keys(maskedStreams('always', { env: {}, terminals: PIPED }))).toHaveLength(2)
})

test.each(['stdout', 'stderr'] as const)('always can not be for a terminal: %s', (name) => {
  const terminals = { ...PIPED, [name]: true }
  expect(() => maskedStreams('always', { env: {}, terminals })).toThrow(
    `--mask always: ${name} is a terminal, which can't be masked`,
  )
})
