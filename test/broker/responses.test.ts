import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { errorResponse } from '../../src/broker/responses.ts'
import { JitError } from '../../src/lib/errors.ts'

const URL = 'https://jit.acme.dev'

function answer(error: JitError, authorization = 'DPoP token') {
  const app = new Hono()
  app.get('/v1/grants', (c) => errorResponse(c, error, URL))
  return app.request('/v1/grants', { headers: { authorization } })
}

test('a sign-in that policy wants is said in the problem and the challenge (RFC 9470 section 3)', async () => {
  const signIn = { max_age: 300, acr_values: ['urn:acme:mfa', 'urn:acme:hw'] }
  const error = new JitError('insufficient_user_authentication', 'policy wants "more"', { signIn })
  const response = await answer(error)
  expect(response.status).toBe(401)
  expect(response.headers.get('WWW-Authenticate')).toBe(
    `DPoP error="insufficient_user_authentication", error_description="policy wants 'more'", ` +
      'max_age="300", acr_values="urn:acme:mfa urn:acme:hw", ' +
      `resource_metadata="${URL}/.well-known/oauth-protected-resource"`,
  )
  expect(await response.json()).toMatchObject({
    code: 'insufficient_user_authentication',
    status: 401,
    max_age: 300,
    acr_values: ['urn:acme:mfa', 'urn:acme:hw'],
  })
})

test('a challenge without authentication contexts leaves them out, and no text can break out of it', async () => {
  const signIn = { max_age: 0, acr_values: [] }
  const text = 'a", acr_values="x\\ \r\nü'
  const error = new JitError('insufficient_user_authentication', text, { signIn })
  const challenge = (await answer(error)).headers.get('WWW-Authenticate')
  expect(challenge).toContain(`error_description="a', acr_values='x' ???", max_age="0", resource`)
})
