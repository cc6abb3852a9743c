import { expect, test } from 'vitest'
import { signInByDevice, type Verification } from '../../src/auth/device.ts'
import { ScriptedProvider } from './scripted-provider.ts'

const PENDING = { status: 400, body: { error: 'authorization_pending' } }

function signIn(provider: ScriptedProvider, signal = new AbortController().signal) {
  const shown: Verification[] = []
  const tokens = signInByDevice({
    provider: {
      issuer: provider.issuer,
      clientId: 'jit-cli',
      scopes: ['groups'],
      verificationHosts: [],
    },
    onVerification: (verification) => shown.push(verification),
    signal,
  })
  return { tokens, shown }
}

function granted(provider: ScriptedProvider) {
  return {
    body: {
      access_token: 'at',
      token_type: 'bearer',
      id_token: provider.idToken(),
      refresh_token: 'rt',
    },
  }
}

test('asks with PKCE and the broker’s scopes, and polls until there is an answer', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [PENDING, PENDING, granted(provider)]
  const { tokens, shown } = signIn(provider)
  expect(await tokens).toEqual({ idToken: expect.any(String), refreshToken: 'rt' })
  expect(shown).toMatchObject([{ userCode: 'ABCD-EFGH', expiresIn: 60 }])
  const [device, ...polls] = provider.asked
  expect(Object.fromEntries(device?.form ?? [])).toMatchObject({
    scope: 'openid profile email offline_access groups',
    code_challenge_method: 'S256',
    code_challenge: expect.stringMatching(/^[\w-]{43}$/),
  })
  expect(polls).toHaveLength(3)
  expect(polls[0]?.form.get('code_verifier')).toMatch(/^[\w-]{43}$/)
})

test('a connection that is cut while polling costs time, not the sign-in', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = ['cut', { status: 502, body: {} }, granted(provider)]
  expect(await signIn(provider).tokens).toMatchObject({ refreshToken: 'rt' })
})

test.each([
  ['access_denied', 'sign_in_denied'],
  ['expired_token', 'sign_in_expired'],
  ['invalid_client', 'sign_in_failed'],
])('%s ends it as %s', async (error, code) => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [PENDING, { status: 400, body: { error } }]
  await expect(signIn(provider).tokens).rejects.toMatchObject({ code })
})

test('a code that runs out unseen by the provider ends it as well', async () => {
  await using provider = await ScriptedProvider.start()
  provider.device = { expires_in: 1, interval: 60 }
  provider.tokens = [PENDING]
  await expect(signIn(provider).tokens).rejects.toMatchObject({ code: 'sign_in_expired' })
})

test('Ctrl-C ends it at once, however long the interval', async () => {
  await using provider = await ScriptedProvider.start()
  provider.device = { interval: 60 }
  const controller = new AbortController()
  const shown = Promise.withResolvers<void>()
  const tokens = signInByDevice({
    provider: { issuer: provider.issuer, clientId: 'jit-cli', scopes: [], verificationHosts: [] },
    onVerification: () => shown.resolve(),
    signal: controller.signal,
  })
  await shown.promise
  controller.abort()
  await expect(tokens).rejects.toMatchObject({ code: 'cancelled' })
})

test('an address that isn’t the provider’s is never shown', async () => {
  await using provider = await ScriptedProvider.start()
  provider.device = { verification_uri_complete: 'https://evil.dev/confirm' }
  const { tokens, shown } = signIn(provider)
  await expect(tokens).rejects.toMatchObject({ code: 'sign_in_failed' })
  expect(shown).toEqual([])
})

test('a provider that sends no identity token is told apart', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [{ body: { access_token: 'at', token_type: 'bearer' } }]
  await expect(signIn(provider).tokens).rejects.toMatchObject({
    code: 'sign_in_failed',
    message: expect.stringContaining('no identity token'),
  })
})

test('a provider that is not there is out of reach', async () => {
  const provider = await ScriptedProvider.start()
  await provider[Symbol.asyncDispose]()
  await expect(signIn(provider).tokens).rejects.toMatchObject({ code: 'issuer_unreachable' })
})
