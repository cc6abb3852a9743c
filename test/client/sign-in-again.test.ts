import { expect, test } from 'vitest'
import { SignInAgain } from '../../src/client/sign-in-again.ts'
import { JitError } from '../../src/lib/errors.ts'

const WANTED = { max_age: 300, acr_values: [] }

/** A sign-in that ends when the test says so, and what came of it. */
function signingIn() {
  const said: string[] = []
  let done = Promise.withResolvers<void>()
  const signIn = new SignInAgain({
    stepUp: () => {
      said.push('asked')
      done = Promise.withResolvers()
      return done.promise
    },
    proceed: () => said.push('continue'),
    fail: (error) => said.push(error.code),
  })
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve))
  return {
    said,
    signIn,
    succeed: () => {
      done.resolve()
      return settled()
    },
    fail: (error: JitError) => {
      done.reject(error)
      return settled()
    },
  }
}

test('a sign-in is asked for once, and the broker is told when it is done', async () => {
  const { said, signIn, succeed } = signingIn()
  signIn.wanted('g_1', WANTED)
  signIn.wanted('g_1', WANTED)
  expect(said).toEqual(['asked'])
  await succeed()
  expect(said).toEqual(['asked', 'continue'])
})

test('a sign-in that is not enough ends the wait instead of asking for ever', async () => {
  const { said, signIn, succeed } = signingIn()
  signIn.wanted('g_1', WANTED)
  await succeed()
  signIn.wanted('g_1', WANTED)
  expect(said).toEqual(['asked', 'continue', 'insufficient_user_authentication'])
})

test('after a lost connection the broker is told again, without another sign-in', async () => {
  const { said, signIn, succeed } = signingIn()
  signIn.wanted('g_1', WANTED)
  await succeed()
  signIn.reopened()
  signIn.wanted('g_1', WANTED)
  expect(said).toEqual(['asked', 'continue', 'continue'])
  signIn.wanted('g_1', WANTED)
  expect(said.at(-1)).toBe('insufficient_user_authentication')
})

test('a sign-in that has grown old while others approved is asked for again', async () => {
  const { said, signIn, succeed } = signingIn()
  signIn.wanted('g_1', WANTED)
  await succeed()
  signIn.wanted('g_1', undefined)
  signIn.wanted('g_1', WANTED)
  expect(said).toEqual(['asked', 'continue', 'asked'])
})

test('a sign-in that fails ends the wait with its own error', async () => {
  const { said, signIn, fail } = signingIn()
  signIn.wanted('g_1', WANTED)
  await fail(new JitError('sign_in_denied', 'no'))
  expect(said).toEqual(['asked', 'sign_in_denied'])
})
