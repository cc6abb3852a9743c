import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { readSession, writeSession } from '../../src/auth/session.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let home: Home
beforeAll(async () => {
  plane = await ControlPlane.start()
})
afterAll(() => plane?.stop())
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

/** Has the clock of the stored token run out, as a quarter of an hour does. */
async function expireToken(): Promise<string> {
  const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
  const session = await readSession(keystore, plane)
  if (!session) throw new Error('nobody is signed in')
  await writeSession(keystore, { ...session, access_token_expires_at: 0 })
  return session.access_token
}

async function auditEvents(): Promise<string[]> {
  using admin = new Home()
  await plane.signIn(admin, 'admin')
  const { stdout } = await admin.run(['audit', '--json'])
  const entries = stdout.trim().split('\n')
  return entries
    .map((line) => JSON.parse(line) as { event: string; principal: { name: string } | null })
    .filter(({ principal }) => principal?.name === 'dev')
    .map(({ event }) => event)
}

test('twenty jit at once with an expired token all go on, and the session is renewed once', async () => {
  await plane.signIn(home, 'dev')
  const before = await expireToken()
  const runs = await Promise.all(Array.from({ length: 20 }, () => home.run(['whoami'])))
  expect(runs.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
    runs.map(() => ({ code: 0, stderr: '' })),
  )
  expect(await expireToken()).not.toBe(before)
  expect(await auditEvents()).toEqual(['session.opened', 'session.renewed'])
})
