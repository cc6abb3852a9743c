import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { confirmDevice } from '../servers/browser.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Keyring, missingForKeyring } from '../servers/keyring.ts'

let missing: string | undefined
let plane: ControlPlane
let home: Home
let keyring: Keyring

beforeAll(async () => {
  missing = await missingForKeyring()
  // A developer's machine may have none; whoever vouches for a change has to have looked.
  if (missing && process.env.CI) throw new Error(`${missing} is missing`)
  plane = await ControlPlane.start()
})
afterAll(() => plane?.stop())

beforeEach(async ({ skip }) => {
  if (missing) skip(`${missing} is missing: no keychain to try`)
  home = new Home()
  home.env.JIT_KEYSTORE = 'keychain'
  keyring = await Keyring.start(home, 'open sesame')
})
afterEach(async () => {
  await keyring?.[Symbol.asyncDispose]()
  home?.[Symbol.dispose]()
})

const entries = (kind: 'keychain' | 'keystore') => {
  const folder = join(home.directory, '.local/share/jit', kind)
  return readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'))
}

test('a sign-in rests sealed, is found by the next jit, and goes with the sign-out', async () => {
  await plane.signIn(home, 'dev')
  const [sealed = '', ...others] = entries('keychain')
  expect(others).toEqual([])
  for (const readable of ['dev', plane.broker, 'token', 'refresh', '"d":']) {
    expect(sealed).not.toContain(readable)
  }
  expect(await home.run(['whoami'])).toMatchObject({ code: 0, stderr: '' })
  expect(await home.run(['logout'])).toMatchObject({ code: 0 })
  expect(entries('keychain')).toEqual([])
  expect((await home.run(['whoami'])).code).toBe(4)
})

test('a locked keychain is said, with the way on, and opens nothing', async () => {
  await plane.signIn(home, 'dev')
  await keyring.unlock('another password')
  const { code, stdout, stderr } = await home.run(['whoami'])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toContain('jit: error: the OS keychain is locked, or no longer holds the key')
  expect(stderr).toContain('jit: hint: unlock it')
  await keyring.unlock('open sesame')
  expect((await home.run(['whoami'])).code).toBe(0)
})

test('a first sign-in takes the keychain that answers, without a word', async () => {
  delete home.env.JIT_KEYSTORE
  const { stderr } = await signInPlainly()
  expect(stderr).not.toContain('keychain')
  expect(entries('keychain')).toHaveLength(1)
})

test.each([
  ['never answers', () => keyring.hang()],
  ['is locked with nobody to ask', () => keyring.unlock('another password')],
])('a keychain that %s gives way to a file, and login alone says so', async (_, spoil) => {
  delete home.env.JIT_KEYSTORE
  // A keyring is made by the first password, so that the second doesn't fit.
  await spoil()
  const before = performance.now()
  const { code, stderr } = await signInPlainly()
  expect(performance.now() - before).toBeLessThan(15_000)
  expect(code).toBe(0)
  expect(stderr).toContain('no OS keychain answers: the session rests in a file')
  expect(entries('keystore')).toHaveLength(1)
  expect(await home.run(['whoami'])).toMatchObject({ code: 0, stderr: '' })
})

/** Signs in as a person does, who opens the link that was printed. */
async function signInPlainly() {
  const jit = home.start(['login', plane.broker])
  if (!jit.stderr) throw new Error('expected a pipe')
  const result = ended(jit)
  for await (const line of createInterface({ input: jit.stderr })) {
    const [, link] = /^Open (\S+)$/.exec(line) ?? []
    if (link) await confirmDevice({ verificationUriComplete: link, login: 'dev' })
  }
  return result
}
