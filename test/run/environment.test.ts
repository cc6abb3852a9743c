import { describe, expect, test } from 'vitest'
import { childEnvironment } from '../../src/run/environment.ts'

const GRANT = { id: 'g_1', expiresAt: '2026-11-22T14:32:00.000Z' }
const build = (
  parent: Record<string, string | undefined>,
  ...credentials: { target: string; env: Record<string, string>; unset: string[] }[]
) => childEnvironment({ parent, credentials, grant: GRANT })

describe('the environment of a child', () => {
  test('is its parent’s, with the credentials and the grant', () => {
    const db = { target: 'db', env: { PGUSER: 'j1' }, unset: [] }
    expect(build({ HOME: '/h', PGUSER: 'me', GONE: undefined }, db)).toEqual({
      HOME: '/h',
      PGUSER: 'j1',
      JIT_GRANT: 'g_1',
      JIT_GRANT_EXPIRES_AT: GRANT.expiresAt,
    })
  })

  test('loses what would compete, before any credential is set', () => {
    const first = { target: 'a', env: { PGUSER: 'j1' }, unset: ['PGSERVICE'] }
    const second = { target: 'b', env: { TOKEN: 't' }, unset: ['PGUSER'] }
    const child = build({ PGSERVICE: 'x', PGUSER: 'me' }, first, second)
    expect(child.PGUSER).toBe('j1')
    expect(child).not.toHaveProperty('PGSERVICE')
  })

  test('names the innermost grant', () => {
    expect(build({ JIT_GRANT: 'g_outer' }).JIT_GRANT).toBe('g_1')
  })

  test.each([
    'PATH',
    'ld_preload',
    'DYLD_INSERT_LIBRARIES',
    'BASH_ENV',
    'GIT_SSH_COMMAND',
    'JIT_X',
  ])('is not built when a credential would set or remove %s', (name) => {
    for (const change of [
      { env: { [name]: 'x' }, unset: [] },
      { env: {}, unset: [name] },
    ]) {
      expect(() => build({}, { target: 'db', ...change })).toThrow(
        expect.objectContaining({ code: 'broker_failed', message: expect.stringContaining(name) }),
      )
    }
  })
})
