import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { confirmDevice, walkLogin, walkPages } from '../servers/browser.ts'
import { type SignInServer, startSignInServer } from '../servers/sign-in.ts'
import { Machine } from './cli.ts'

let server: SignInServer
beforeAll(async () => {
  server = await startSignInServer()
})
afterAll(() => server.close())

/** Signs `login` in on a machine through the device flow. */
async function signIn(machine: Machine, login = 'dev') {
  const run = machine.start('login', server.broker, '--json')
  const verification = await run.event()
  const verificationUriComplete = String(verification.verification_uri_complete)
  await confirmDevice({ verificationUriComplete, login })
  return { verification, ...(await run.end()) }
}

test('a sign-in from the broker’s address alone says who was signed in, and keeps it 0600', async () => {
  await using machine = await Machine.create()
  const { verification, code, out, stderr } = await signIn(machine, 'lead')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(verification).toMatchObject({
    event: 'verification',
    user_code: expect.stringMatching(/^[A-Z]{4}-[A-Z]{4}$/),
    verification_uri: `${server.issuer}/device`,
    expires_in: expect.any(Number),
  })
  expect(JSON.parse(out[1] ?? '')).toMatchObject({
    event: 'signed_in',
    principal: { kind: 'human', name: 'lead' },
  })
  const keystore = join(machine.home, '.local/share/jit/keystore')
  const [entry = ''] = await readdir(keystore)
  expect((await stat(keystore)).mode & 0o777).toBe(0o700)
  expect((await stat(join(keystore, entry))).mode & 0o777).toBe(0o600)
})

test('after a sign-in, commands find the broker by themselves; after a sign-out nobody is signed in', async () => {
  await using machine = await Machine.create()
  await signIn(machine)
  const whoami = await machine.start('whoami', '--json').end()
  expect(Object.keys(JSON.parse(whoami.out[0] ?? ''))).toEqual([
    'principal',
    'broker',
    'session_expires_at',
  ])
  const logout = await machine.start('logout', '--json').end()
  expect(JSON.parse(logout.out[0] ?? '')).toMatchObject({ signed_out: true, ended_at_broker: true })
  expect(server.revoked).toHaveLength(1)
  const after = await machine.start('whoami', '--json').end()
  expect(after.code).toBe(4)
  expect(JSON.parse(after.stderr)).toMatchObject({
    error: { code: 'not_signed_in', hint: 'jit login' },
  })
})

test('who refuses at the provider is not signed in', async () => {
  for (const refuseAt of [/Confirm/, /account/, /Let/]) {
    await using machine = await Machine.create()
    const run = machine.start('login', server.broker, '--json')
    const { verification_uri_complete } = await run.event()
    const verificationUriComplete = String(verification_uri_complete)
    const titles = await confirmDevice({ verificationUriComplete, login: 'dev', refuseAt })
    expect(titles.at(-1)).toBe('Refused')
    const { code, stderr } = await run.end()
    expect(code).toBe(3)
    expect(JSON.parse(stderr).error.code).toBe('sign_in_denied')
    expect((await machine.start('whoami').end()).code).toBe(4)
  }
})

test('a wrong code is asked for again, the right one then counts', async () => {
  await using machine = await Machine.create()
  const run = machine.start('login', server.broker, '--json')
  const { verification_uri, user_code } = await run.event()
  const address = new URL(String(verification_uri))
  await expect(walkPages(address, { login: 'dev', code: 'WRNG-CODE' })).rejects.toThrow('Sign in')
  const { titles } = await walkPages(address, { login: 'dev', code: String(user_code) })
  expect(titles.at(-1)).toBe('Signed in')
  expect((await run.end()).code).toBe(0)
})

test('Ctrl-C ends a sign-in that waits', async () => {
  await using machine = await Machine.create()
  const run = machine.start('login', server.broker, '--json')
  await run.event()
  run.child.kill('SIGINT')
  const { code } = await run.end()
  expect(code).toBe(130)
})

test('--browser signs in over a loopback redirect', async () => {
  await using machine = await Machine.create()
  const run = machine.start('login', server.broker, '--browser', '--json')
  const { authorization_uri } = await run.event()
  const address = new URL(String(authorization_uri))
  expect(address.searchParams.get('code_challenge_method')).toBe('S256')
  const callback = new URL(String(address.searchParams.get('redirect_uri')))
  expect((await fetch(`${callback}?code=forged&state=other`)).status).toBe(404)
  await walkLogin(address, { login: 'admin' })
  const { code, out } = await run.end()
  expect(code).toBe(0)
  expect(JSON.parse(out[1] ?? '')).toMatchObject({
    event: 'signed_in',
    principal: { name: 'admin' },
  })
})

test('who refuses in the browser is not signed in', async () => {
  await using machine = await Machine.create()
  const run = machine.start('login', server.broker, '--browser', '--json')
  const { authorization_uri } = await run.event()
  await walkLogin(new URL(String(authorization_uri)), { login: 'dev', refuseAt: /account/ })
  const { code, stderr } = await run.end()
  expect(code).toBe(3)
  expect(JSON.parse(stderr).error.code).toBe('sign_in_denied')
})

test('twenty jit with an expired token all go on, renewed once, under the same key', async () => {
  await using machine = await Machine.create()
  server.tokenLifetime = 1
  await signIn(machine)
  server.tokenLifetime = 900
  server.exchanges.length = 0
  const runs = Array.from({ length: 20 }, () => machine.start('whoami', '--json').end())
  const ended = await Promise.all(runs)
  expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
    ended.map(() => ({ code: 0, stderr: '' })),
  )
  expect(server.exchanges).toHaveLength(1)
})

test('a renewal keeps the key of the session, and the next refresh token', async () => {
  await using machine = await Machine.create()
  server.tokenLifetime = 1
  server.exchanges.length = 0
  await signIn(machine)
  for (let round = 0; round < 3; round += 1) {
    expect((await machine.start('whoami').end()).code).toBe(0)
  }
  server.tokenLifetime = 900
  expect(server.exchanges).toHaveLength(4)
  expect(new Set(server.exchanges.map(({ key }) => key)).size).toBe(1)
})

test('a broker that refuses to renew has ended the session: sign in again', async () => {
  await using machine = await Machine.create()
  server.tokenLifetime = 1
  await signIn(machine)
  server.tokenLifetime = 900
  server.refuseExchange = {
    status: 400,
    body: { error: 'invalid_grant', error_description: 'over' },
  }
  const { code, stderr } = await machine.start('whoami', '--json').end()
  server.refuseExchange = undefined
  expect(code).toBe(4)
  expect(JSON.parse(stderr).error).toMatchObject({ code: 'session_ended', hint: 'jit login' })
  expect(JSON.parse((await machine.start('whoami', '--json').end()).stderr).error.code).toBe(
    'not_signed_in',
  )
})

test('a broker whose issuer has changed is refused, and the way on is named', async () => {
  await using machine = await Machine.create()
  await signIn(machine)
  server.identityProvider = { issuer: `${server.broker}/other` }
  const { code, stderr } = await machine.start('login', server.broker, '--yes', '--json').end()
  server.identityProvider = {}
  expect(code).toBe(1)
  expect(JSON.parse(stderr).error).toMatchObject({
    code: 'issuer_changed',
    hint: expect.stringContaining('config.yaml'),
  })
})

test('no token is ever printed', async () => {
  await using machine = await Machine.create()
  const { out, stderr } = await signIn(machine)
  const keystore = join(machine.home, '.local/share/jit/keystore')
  const [entry = ''] = await readdir(keystore)
  const { value } = JSON.parse(await readFile(join(keystore, entry), 'utf8'))
  const { access_token, refresh_token, jwk } = JSON.parse(value)
  for (const secret of [access_token, refresh_token, jwk.d]) {
    expect([...out, stderr, ...server.log].join('\n')).not.toContain(secret)
  }
})
