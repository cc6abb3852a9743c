import { expect, test } from 'vitest'
import { signInByDevice } from '../../src/auth/device.ts'
import { ScriptedProvider } from './scripted-provider.ts'

test('polls no faster than the provider wants: slow_down adds five seconds', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [
    { status: 400, body: { error: 'slow_down' } },
    { body: { access_token: 'at', token_type: 'bearer', id_token: provider.idToken() } },
  ]
  await signInByDevice({
    provider: { issuer: provider.issuer, clientId: 'jit-cli', scopes: [], verificationHosts: [] },
    onVerification: () => {},
    signal: new AbortController().signal,
  })
  const [, first, second] = provider.asked
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(4900)
})
