import * as v from 'valibot'
import { expect, test } from 'vitest'
import { readAnswer } from '../../src/client/answer.ts'

const Thing = v.object({ name: v.string() })

function read(status: number, body: unknown) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return () => readAnswer(Thing, { status, headers: {}, body: text }, 'thing')
}

const problem = (fields: object) => ({
  type: '/problems/x',
  title: 'X',
  status: 403,
  code: 'denied',
  detail: 'not allowed',
  ...fields,
})

function thrownBy(run: () => unknown) {
  try {
    run()
  } catch (thrown) {
    const { code, message, hint } = thrown as { code: string; message: string; hint?: string }
    return { code, message, hint }
  }
  throw new Error('expected an error')
}

test('a good answer is what it says', () => {
  expect(read(200, { name: 'x' })()).toEqual({ name: 'x' })
})

test('a broker’s code, detail and hint arrive as they are', () => {
  const body = problem({ hint: 'ask on-call' })
  expect(thrownBy(read(403, body))).toEqual({
    code: 'denied',
    message: 'not allowed',
    hint: 'ask on-call',
  })
})

test('a sign-in that the broker wants arrives with the error; what it does not say is asked in full', () => {
  const wanting = (fields: object) => {
    const body = problem({ code: 'insufficient_user_authentication', status: 401, ...fields })
    return expect(read(401, body))
  }
  const signIn = { max_age: 300, acr_values: ['urn:acme:mfa'] }
  wanting(signIn).toThrow(expect.objectContaining({ signIn }))
  wanting({}).toThrow(expect.objectContaining({ signIn: { max_age: 0, acr_values: [] } }))
})

test('a code of a newer broker falls back to the status', () => {
  const body = problem({ code: 'quota_of_tomorrow', status: 429 })
  expect(thrownBy(read(429, body)).code).toBe('limit_reached')
})

test.each([
  [401, 'not_signed_in', 'jit login'],
  [403, 'denied', undefined],
  [404, 'not_found', undefined],
  [400, 'request_invalid', undefined],
  [500, 'broker_failed', undefined],
  [302, 'broker_failed', undefined],
])('status %i without a problem document is %s', (status, code, hint) => {
  expect(thrownBy(read(status, '<html>'))).toMatchObject({ code, hint })
})

test.each(['', 'nonsense', '{"name":1}', '[]'])('a 200 with %j is the broker’s mistake', (body) => {
  expect(thrownBy(read(200, body)).code).toBe('broker_failed')
})

test('what a broker says can’t drive the terminal', () => {
  const body = problem({ detail: 'no\u001b[2J', hint: '\u202eevil' })
  const { message, hint } = thrownBy(read(403, body))
  expect(message).toBe('no\\u{1b}[2J')
  expect(hint).toBe('\\u{202e}evil')
})
