import { describe, expect, it } from 'vitest'
import { connect } from '../../src/cli/connect.ts'
import type { Deps } from '../../src/cli/deps.ts'
import { trustedInside } from '../../src/cli/inside.ts'
import { runProgram } from '../../src/cli/program.ts'
import { stepUpFor } from '../../src/cli/step-up-here.ts'

const LINK = 'http://127.0.0.1:7421'

/** Nothing but an environment: whatever else is reached for is a mistake. */
function inside(env: Record<string, string>): Deps {
  const io = { out() {}, note() {} }
  return { env, io, interrupted: new AbortController().signal } as unknown as Deps
}

describe('jit inside a sandbox', () => {
  it('goes to the link, without a session and without a proof, whatever else is named', async () => {
    const env = { JIT_SANDBOX: LINK, JIT_BROKER: 'https://jit.acme.dev', JIT_AGENT: 'other' }
    const { broker, authorizer } = await connect(inside(env))
    expect(broker).toBe(LINK)
    const url = new URL(`${LINK}/v1/whoami`)
    expect(await authorizer.headers({ method: 'GET', url })).toEqual({})
  })

  it.each([
    'https://jit.acme.dev',
    'http://localhost:7421',
    'http://127.0.0.1.evil.dev:7421',
    'http://127.0.0.1:7421@evil.dev',
    'http://127.0.0.1:7421/x',
    'http://127.0.0.1',
    'unix:/run/link',
  ])('sends nothing to %s', async (link) => {
    await expect(connect(inside({ JIT_SANDBOX: link }))).rejects.toMatchObject({
      code: 'usage',
      message: 'JIT_SANDBOX: expected http://127.0.0.1 with a port',
    })
  })

  it.each([
    ['login'],
    ['logout'],
    ['approve', 'g_1'],
    ['deny', 'g_1'],
    ['acknowledge', 'g_1'],
    ['audit'],
    ['trust', '--yes'],
    ['policy', 'check'],
    ['broker', '--config', 'broker.yaml'],
    ['dev'],
    ['sandbox', '--', 'sh'],
  ])('says that jit %s doesn’t belong there', async (...words) => {
    const running = runProgram(words, inside({ JIT_SANDBOX: LINK }), async () => {})
    await expect(running).rejects.toMatchObject({
      code: 'not_in_sandbox',
      message: `jit ${words[0]} doesn't belong in a sandbox`,
    })
  })

  it('signs nobody in: whom that would be isn’t there', async () => {
    const stepUp = stepUpFor({ broker: LINK }, inside({ JIT_SANDBOX: LINK }))
    await expect(stepUp({ max_age: 60, acr_values: [] })).rejects.toMatchObject({
      code: 'insufficient_user_authentication',
      hint: expect.stringContaining('outside'),
    })
  })

  it('trusts of profiles what was trusted outside, and nothing where nothing was', () => {
    expect(trustedInside({ JIT_SANDBOX: LINK, JIT_SANDBOX_TRUSTED: 'ab' })).toBe('ab')
    expect(trustedInside({ JIT_SANDBOX: LINK })).toBe('')
    expect(trustedInside({ JIT_SANDBOX_TRUSTED: 'ab' })).toBeUndefined()
  })
})
