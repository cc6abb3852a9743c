import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAuthorizer } from '../../src/auth/authorizer.ts'
import type { SessionSource } from '../../src/auth/current-session.ts'
import type { SignInDemands } from '../../src/auth/demands.ts'
import { tryLock, type Unlock } from '../../src/auth/lock.ts'
import { newSessionKey } from '../../src/auth/proof.ts'
import { readSession, type StoredSession, writeSession } from '../../src/auth/session.ts'
import { signInAgain, stepUp } from '../../src/auth/step-up.ts'
import { memoryKeystore } from '../../src/keystore/memory.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { pathsFrom } from '../../src/lib/paths.ts'

const ISSUER = 'https://idp.acme.dev'
const WANTED = { max_age: 60, acr_values: ['urn:mfa'] }
const never = new AbortController().signal

let home: string
let server: Server
let source: SessionSource
/** How the broker answers exchanges, in order; the last one repeats. */
let answers: { status: number; body: object }[]
/** Keys that exchanged something, by their x. */
let keys: string[]

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'jit-step-up-'))
  answers = [{ status: 200, body: tokenOf('new') }]
  keys = []
  server = createServer((request, response) => {
    const json = { 'content-type': 'application/json' }
    if (request.url !== '/oauth/token') {
      response.writeHead(200, json).end(JSON.stringify(metadata()))
      return
    }
    const proof = String(request.headers.dpop).split('.')[0] ?? ''
    keys.push(JSON.parse(Buffer.from(proof, 'base64url').toString()).jwk.x)
    const answer = (answers.length > 1 ? answers.shift() : answers[0]) ?? { status: 500, body: {} }
    response.writeHead(answer.status, json).end(JSON.stringify(answer.body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const broker = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const paths = pathsFrom({ HOME: home })
  source = { broker, keystore: memoryKeystore(), clock: systemClock, paths }
})
afterEach(async () => {
  server.close()
  server.closeAllConnections()
  await rm(home, { recursive: true, force: true })
})

const tokenOf = (accessToken: string) => ({
  access_token: accessToken,
  issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  token_type: 'DPoP',
  expires_in: 900,
  session_expires_at: '2030-01-01T00:00:00.000Z',
  principal: { kind: 'human', id: 'idp/dev', name: 'dev', groups: [] },
})

const metadata = () => ({
  resource: source.broker,
  authorization_servers: [source.broker],
  identity_providers: [
    { issuer: 'https://other.dev', clients: { human: 'a' }, verification_hosts: [], scopes: [] },
    {
      issuer: ISSUER,
      clients: { human: 'another' },
      verification_hosts: ['login.acme.dev'],
      scopes: [],
    },
  ],
})

async function signedIn(changes: Partial<StoredSession> = {}): Promise<StoredSession> {
  const session: StoredSession = {
    broker: source.broker,
    issuer: ISSUER,
    client_id: 'jit-cli',
    flow: 'device',
    access_token: 'old',
    access_token_expires_at: Date.now() + 600_000,
    session_expires_at: '2030-01-01T00:00:00.000Z',
    refresh_token: 'rt-1',
    jwk: newSessionKey(),
    principal: { kind: 'human', id: 'idp/dev', name: 'dev', groups: [] },
    ...changes,
  }
  await writeSession(source.keystore, session)
  return session
}

const stored = () => readSession(source.keystore, source)
const tokens = { idToken: 'id', refreshToken: 'rt-2' }

test('asks the same client at the same provider, through the same flow, for what policy wants', async () => {
  await signedIn({ flow: 'browser' })
  const asked: unknown[] = []
  const authenticate = async (how: { demands: SignInDemands }) => {
    asked.push(how)
    return tokens
  }
  await stepUp({ source, signIn: WANTED, nonce: 'of-a-request', authenticate, signal: never })
  expect(asked).toEqual([
    {
      provider: {
        issuer: ISSUER,
        clientId: 'jit-cli',
        scopes: [],
        verificationHosts: ['login.acme.dev'],
      },
      flow: 'browser',
      // Half of what is wanted: the rest is for the way back.
      demands: { maxAge: 30, acrValues: ['urn:mfa'], nonce: 'of-a-request' },
      name: 'dev',
    },
  ])
})

test('renews the session under its own key, and keeps the new refresh token', async () => {
  const before = await signedIn()
  const authenticate = async () => tokens
  await stepUp({ source, signIn: WANTED, authenticate, signal: never })
  expect(keys).toEqual([before.jwk.x])
  expect(await stored()).toEqual({
    ...before,
    access_token: 'new',
    access_token_expires_at: expect.any(Number),
    refresh_token: 'rt-2',
  })
})

test('an authorizer of before goes on with the session of after', async () => {
  await signedIn({ access_token_expires_at: Date.now() + 61_000 })
  let now = Date.now()
  const clock = { ...systemClock, now: () => now }
  const { broker, keystore, paths } = source
  const authorizer = createAuthorizer({ broker, keystore: async () => keystore, clock, paths })
  const ask = () => authorizer.headers({ method: 'GET', url: new URL(`${broker}/v1/whoami`) })
  expect((await ask()).authorization).toBe('DPoP old')
  await stepUp({ source, signIn: WANTED, authenticate: async () => tokens, signal: never })
  now += 2000
  expect((await ask()).authorization).toBe('DPoP new')
})

test('a renewal of another process meanwhile is what the sign-in builds on', async () => {
  const before = await signedIn()
  const jwk = newSessionKey()
  const authenticate = async () => {
    await writeSession(source.keystore, { ...before, jwk, refresh_token: 'rt-of-another' })
    return { idToken: 'id' }
  }
  await stepUp({ source, signIn: WANTED, authenticate, signal: never })
  expect(keys).toEqual([jwk.x])
  expect(await stored()).toMatchObject({ access_token: 'new', refresh_token: 'rt-of-another' })
})

test('the tokens are swapped under the lock of renewals', async () => {
  await signedIn()
  const { data } = source.paths
  const name = createHash('sha256').update(`session:${source.broker}`).digest('hex').slice(0, 16)
  const unlock = Promise.withResolvers<Unlock | undefined>()
  const authenticate = async () => {
    unlock.resolve(await tryLock(join(data, `renewal-${name}.lock`)))
    return tokens
  }
  await mkdir(data, { recursive: true })
  const stepped = stepUp({ source, signIn: WANTED, authenticate, signal: never })
  const drop = await unlock.promise
  expect(drop).toBeDefined()
  await wait(200)
  expect(keys).toEqual([])
  await drop?.()
  await stepped
  expect(keys).toHaveLength(1)
})

test('whatever the broker refuses, another account above all, leaves the session as it was', async () => {
  const before = await signedIn()
  const body = { code: 'token_invalid', detail: 'another account signed in', hint: 'as dev' }
  answers = [{ status: 400, body: { error: 'invalid_grant', ...body } }]
  const authenticate = async () => tokens
  await expect(
    stepUp({ source, signIn: WANTED, authenticate, signal: never }),
  ).rejects.toMatchObject({
    code: 'token_invalid',
    message: expect.stringContaining('another account signed in'),
    hint: 'as dev',
  })
  expect(await stored()).toEqual(before)
})

test('a session that was handed on names who has to sign in, and how it is handed on again', async () => {
  const { flow: _, ...session } = await signedIn()
  const copilot = { ...source, agent: 'claude' }
  await writeSession(source.keystore, { ...session, agent: 'claude', delegated: true })
  const authenticate = async () => tokens
  await expect(
    stepUp({ source: copilot, signIn: WANTED, authenticate, signal: never }),
  ).rejects.toMatchObject({
    code: 'insufficient_user_authentication',
    hint: 'without JIT_AGENT: jit login --fresh, then jit login --agent claude --delegate',
  })
})

test('a session that no person signed in to can’t be signed in to again', async () => {
  const { flow: _, ...session } = await signedIn()
  await writeSession(source.keystore, session)
  const authenticate = async () => {
    throw new Error('nobody is to be asked')
  }
  await expect(
    stepUp({ source, signIn: WANTED, authenticate, signal: never }),
  ).rejects.toMatchObject({ code: 'insufficient_user_authentication', signIn: WANTED })
})

test('a provider that the broker no longer lists is not asked', async () => {
  await signedIn({ issuer: 'https://gone.dev' })
  const authenticate = async () => {
    throw new Error('nobody is to be asked')
  }
  await expect(
    stepUp({ source, signIn: WANTED, authenticate, signal: never }),
  ).rejects.toMatchObject({ code: 'issuer_changed' })
})

const SESSION_ENDED = {
  status: 400,
  body: { error: 'invalid_grant', code: 'session_ended', detail: 'over' },
}

test.each([
  ['where the session has ended', true],
  ['where there was none', false],
])('a sign-in by hand opens a session of its own %s', async (_, ended) => {
  const { jwk } = await signedIn()
  if (ended) answers = [SESSION_ENDED, { status: 200, body: tokenOf('of-a-new-session') }]
  else await source.keystore.delete(`session:${source.broker}`)
  const provider = { issuer: ISSUER, clientId: 'jit-cli', scopes: [], verificationHosts: [] }
  const { broker, keystore } = source
  const opening = {
    broker,
    provider,
    tokens,
    flow: 'device',
    keystore,
    clock: systemClock,
  } as const
  const session = await signInAgain({ ...opening, paths: source.paths, signal: never })
  expect(session.jwk.x).not.toBe(jwk.x)
  expect(await stored()).toEqual(session)
})
