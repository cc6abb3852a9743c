import { expect, test } from 'vitest'
import { demandParameters, requireMet } from '../../src/auth/demands.ts'
import { signInByDevice } from '../../src/auth/device.ts'
import { ScriptedProvider } from './scripted-provider.ts'

const STARTED = 1_795_348_800_000
const NOW = STARTED / 1000

function idToken(claims: object): string {
  return `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`
}

const meets = (claims: object, demands: Parameters<typeof requireMet>[1]['demands']) => () =>
  requireMet(idToken(claims), { demands, startedAt: STARTED })

test('a provider is asked in the words of OpenID Connect, and for nothing that isn’t wanted', () => {
  expect(demandParameters({ maxAge: 0, acrValues: ['a', 'b'], nonce: 'n' })).toEqual({
    max_age: '0',
    acr_values: 'a b',
    nonce: 'n',
  })
  expect(demandParameters({ acrValues: [] })).toEqual({})
})

test('what a provider left out of a sign-in is said, with the way on', () => {
  expect(meets({}, { maxAge: 60 })).toThrow(/doesn't say when/)
  expect(meets({ auth_time: NOW - 120 }, { maxAge: 60 })).toThrow(
    expect.objectContaining({
      code: 'sign_in_failed',
      message: expect.stringContaining('anew'),
      hint: expect.stringContaining('--browser'),
    }),
  )
  expect(meets({ acr: 'urn:pwd' }, { acrValues: ['urn:mfa', 'urn:hw'] })).toThrow(
    /with urn:mfa or urn:hw/,
  )
  expect(meets({}, { acrValues: ['urn:mfa'] })).toThrow(/urn:mfa/)
  expect(meets({ nonce: 'of-another' }, { nonce: 'mine' })).toThrow(/another sign-in/)
})

test('what was asked and given is fine; clocks may differ by half a minute', () => {
  expect(meets({ auth_time: NOW - 85 }, { maxAge: 60 })).not.toThrow()
  expect(meets({ auth_time: NOW + 20 }, { maxAge: 0 })).not.toThrow()
  expect(meets({ acr: 'urn:hw' }, { acrValues: ['urn:mfa', 'urn:hw'] })).not.toThrow()
  expect(meets({ nonce: 'mine' }, { nonce: 'mine' })).not.toThrow()
})

test('a device flow that knows no nonce is none the worse for it; a token nobody asked anything of is not read', () => {
  expect(meets({}, { nonce: 'mine' })).not.toThrow()
  expect(() => requireMet('opaque', { demands: {}, startedAt: STARTED })).not.toThrow()
})

test('the device flow asks for it, and takes no sign-in that falls short', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [
    { body: { access_token: 'at', token_type: 'bearer', id_token: provider.idToken() } },
  ]
  const { issuer } = provider
  const signIn = signInByDevice({
    provider: { issuer, clientId: 'jit-cli', scopes: [], verificationHosts: [] },
    demands: { maxAge: 30, acrValues: ['urn:mfa'], nonce: 'of-a-request' },
    onVerification: () => {},
    signal: new AbortController().signal,
  })
  await expect(signIn).rejects.toMatchObject({ code: 'sign_in_failed' })
  expect(Object.fromEntries(provider.asked[0]?.form ?? [])).toMatchObject({
    max_age: '30',
    acr_values: 'urn:mfa',
    nonce: 'of-a-request',
    code_challenge_method: 'S256',
  })
})
