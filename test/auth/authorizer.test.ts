import { spawn } from 'node:child_process'
import { createHash, createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, utimes } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAuthorizer } from '../../src/auth/authorizer.ts'
import { newSessionKey } from '../../src/auth/proof.ts'
import { entryName, readSession, type StoredSession, writeSession } from '../../src/auth/session.ts'
import { memoryKeystore } from '../../src/keystore/memory.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { ScriptedProvider } from './scripted-provider.ts'

const MINUTE = 60_000
const RENEWED = {
  status: 200,
  body: {
    access_token: 'new',
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'DPoP',
    expires_in: 900,
    session_expires_at: '2030-01-01T00:00:00.000Z',
    principal: { kind: 'human', id: 'idp/dev', name: 'dev', groups: [] },
  },
}
const REFUSED = { status: 400, body: { error: 'invalid_grant', code: 'token_invalid' } }
let home: string
let server: Server
let broker: string
/** How the broker answers exchanges, in order; the last one repeats. */
let answers: { status: number; body: unknown }[]
let exchanges: number

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'jit-authorizer-'))
  exchanges = 0
  answers = [RENEWED]
  server = createServer((request, response) => {
    exchanges += 1
    request.resume()
    const answer = (answers.length > 1 ? answers.shift() : answers[0]) ?? RENEWED
    response.writeHead(answer.status).end(JSON.stringify(answer.body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  broker = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.close()
  server.closeAllConnections()
  await rm(home, { recursive: true, force: true })
})

/** Someone signed in whose token has `left` milliseconds. */
async function signedIn(
  provider: { issuer: string },
  left: number,
  changes: Partial<StoredSession> = {},
) {
  const keystore = memoryKeystore()
  await writeSession(keystore, {
    broker,
    issuer: provider.issuer,
    client_id: 'jit-cli',
    access_token: 'old',
    access_token_expires_at: Date.now() + left,
    session_expires_at: '2030-01-01T00:00:00.000Z',
    refresh_token: 'rt-1',
    jwk: newSessionKey(),
    principal: { kind: 'human', id: 'idp/dev', name: 'dev', groups: [] },
    ...changes,
  })
  const paths = pathsFrom({ HOME: home })
  const authorizer = createAuthorizer({
    broker,
    agent: changes.agent,
    keystore: async () => keystore,
    clock: systemClock,
    paths,
  })
  const ask = () => authorizer.headers({ method: 'GET', url: new URL(`${broker}/v1/whoami?x=1`) })
  return { keystore, ask, authorizer }
}

const refreshed = (provider: ScriptedProvider, refresh_token = 'rt-2') => ({
  body: { access_token: 'at', token_type: 'bearer', id_token: provider.idToken(), refresh_token },
})

test('a proof is for one request: method, address without query, token, its own id', async () => {
  const { keystore, ask, authorizer } = await signedIn({ issuer: 'https://idp.dev' }, 10 * MINUTE)
  const { authorization, dpop = '' } = await ask()
  expect(authorization).toBe('DPoP old')
  const [header = '', payload = '', signature = ''] = dpop.split('.')
  const decode = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  const { typ, alg, jwk } = decode(header)
  expect({ typ, alg }).toEqual({ typ: 'dpop+jwt', alg: 'ES256' })
  const claims = decode(payload)
  expect(claims).toMatchObject({
    htm: 'GET',
    htu: `${broker}/v1/whoami`,
    ath: createHash('sha256').update('old').digest('base64url'),
  })
  expect(jwk).not.toHaveProperty('d')
  const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
  const signed = Buffer.from(`${header}.${payload}`)
  const options = { key, dsaEncoding: 'ieee-p1363' } as const
  expect(verify('sha256', signed, options, Buffer.from(signature, 'base64url'))).toBe(true)
  const again = decode(((await ask()).dpop ?? '').split('.')[1] ?? '')
  expect(again.jti).not.toBe(claims.jti)
  const line = await authorizer.headers({
    method: 'GET',
    url: new URL('wss://jit.dev/v1/lifeline'),
  })
  expect(decode((line.dpop ?? '').split('.')[1] ?? '').htu).toBe('https://jit.dev/v1/lifeline')
  expect(await readSession(keystore, { broker })).toBeDefined()
})

test('a token about to end is renewed once for all requests of a process', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [refreshed(provider)]
  const { keystore, ask } = await signedIn(provider, MINUTE / 2)
  const answers = await Promise.all([ask(), ask(), ask()])
  expect(answers.map(({ authorization }) => authorization)).toEqual(Array(3).fill('DPoP new'))
  expect(exchanges).toBe(1)
  expect(await readSession(keystore, { broker })).toMatchObject({ refresh_token: 'rt-2' })
})

test('nobody signed in is said so, with the way on', async () => {
  const { keystore, ask } = await signedIn({ issuer: 'https://idp.dev' }, MINUTE)
  await keystore.delete(`session:${broker}`)
  await expect(ask()).rejects.toMatchObject({ code: 'not_signed_in', hint: 'jit login' })
})

test('a provider out of reach uses up the token’s last minute, then says so', async () => {
  const gone = { issuer: 'http://127.0.0.1:1' }
  expect((await (await signedIn(gone, MINUTE / 2)).ask()).authorization).toBe('DPoP old')
  const { keystore, ask } = await signedIn(gone, -1)
  await expect(ask()).rejects.toMatchObject({ code: 'issuer_unreachable' })
  expect(await readSession(keystore, { broker })).toBeDefined()
})

test('a refresh token that the provider no longer takes ends the session here', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [{ status: 400, body: { error: 'invalid_grant' } }]
  const { keystore, ask } = await signedIn(provider, -1)
  await expect(ask()).rejects.toMatchObject({ code: 'not_signed_in', hint: 'jit login' })
  expect(await readSession(keystore, { broker })).toBeUndefined()
})

test('a copilot whose sign-in is over is told how it signs in, not how its person does', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [{ status: 400, body: { error: 'invalid_grant' } }]
  const { ask } = await signedIn(provider, -1, { agent: 'claude' })
  await expect(ask()).rejects.toMatchObject({ hint: 'jit login --agent claude' })
})

test('a provider that renews without an identity token is told apart', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [{ body: { access_token: 'at', token_type: 'bearer' } }]
  const { ask } = await signedIn(provider, -1)
  await expect(ask()).rejects.toMatchObject({
    code: 'not_signed_in',
    message: expect.stringContaining('no identity token'),
  })
})

test('a session without a refresh token ends with its token', async () => {
  const keystore = await signedIn({ issuer: 'https://idp.dev' }, -1)
  const session = await readSession(keystore.keystore, { broker })
  if (!session) throw new Error('expected a session')
  const { refresh_token: _, ...rest } = session
  await writeSession(keystore.keystore, rest)
  await expect(keystore.ask()).rejects.toMatchObject({ code: 'not_signed_in' })
})

test('a broker that fails after the refresh costs nothing: the next refresh token is kept', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [refreshed(provider)]
  answers = [{ status: 503, body: {} }]
  const { keystore, ask } = await signedIn(provider, -1)
  await expect(ask()).rejects.toMatchObject({ code: 'broker_failed' })
  expect(await readSession(keystore, { broker })).toMatchObject({ refresh_token: 'rt-2' })
})

test('an identity token that was used before is asked for once more: a provider may issue one twice in a second', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [refreshed(provider, 'rt-2'), refreshed(provider, 'rt-3')]
  answers = [REFUSED, RENEWED]
  const { keystore, ask } = await signedIn(provider, -1)
  expect((await ask()).authorization).toBe('DPoP new')
  expect(await readSession(keystore, { broker })).toMatchObject({ refresh_token: 'rt-3' })
  const [first, second] = provider.asked
  expect(provider.asked.map(({ form }) => form.get('refresh_token'))).toEqual(['rt-1', 'rt-2'])
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(1000)
})

test('one that the broker refuses again has ended the session', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [refreshed(provider)]
  answers = [REFUSED]
  const { keystore, ask } = await signedIn(provider, -1)
  await expect(ask()).rejects.toMatchObject({ code: 'session_ended', hint: 'jit login' })
  expect(exchanges).toBe(2)
  expect(await readSession(keystore, { broker })).toBeUndefined()
})

test('a process killed while it renewed holds the others up for five seconds at most', async () => {
  await using provider = await ScriptedProvider.start()
  provider.tokens = [refreshed(provider)]
  const { ask } = await signedIn(provider, -1)
  const entry = entryName({ broker })
  const name = createHash('sha256').update(entry).digest('hex').slice(0, 16)
  const { data } = pathsFrom({ HOME: home })
  const lock = new URL('../../src/auth/lock.ts', import.meta.url).href
  await mkdir(data, { recursive: true })
  const holder = spawn(process.execPath, [
    '-e',
    `import(${JSON.stringify(lock)})
       .then(({ tryLock }) => tryLock(${JSON.stringify(join(data, `renewal-${name}.lock`))}))
       .then(() => { console.log('locked'); setInterval(() => {}, 1000) })`,
  ])
  await once(holder.stdout, 'data')
  holder.kill('SIGKILL')
  await once(holder, 'close')
  const lastSign = new Date(Date.now() - 4500)
  await utimes(join(data, `renewal-${name}.lock`), lastSign, lastSign)
  expect((await ask()).authorization).toBe('DPoP new')
})
