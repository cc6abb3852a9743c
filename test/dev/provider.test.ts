import { mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createProvider } from '../../src/dev/provider.ts'
import { Browser, type Choices, confirmDevice } from '../servers/browser.ts'

let folder: string
const ended: (() => Promise<void>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jit-provider-'))
})
afterEach(async () => {
  for (const end of ended.splice(0)) await end()
  await rm(folder, { recursive: true, force: true })
})

/** A provider on a port; on the same one again when `port` says so. */
async function start({ file, port = 0 }: { file?: string; port?: number } = {}) {
  const server = createServer((request, response) => provider.handler(request, response))
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const bound = (server.address() as AddressInfo).port
  const provider = createProvider({
    issuer: `http://127.0.0.1:${bound}/idp`,
    ...(file ? { file } : {}),
  })
  const stop = async () => {
    if (!server.listening) return
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
    provider.close()
  }
  ended.push(stop)
  return { issuer: provider.issuer, port: bound, stop }
}

async function post(url: string, form: Record<string, string>) {
  const response = await fetch(url, {
    method: 'POST',
    // A connection kept for later would be cut when the provider stops.
    headers: { connection: 'close' },
    body: new URLSearchParams({ client_id: 'jit-cli', ...form }),
  })
  return (await response.json()) as Record<string, string>
}

const SCOPE = 'openid profile email offline_access'

/** Signs in through the device flow; `titles` are the pages that it took. */
async function walk(
  issuer: string,
  { asked = {}, ...choices }: Choices & { asked?: Record<string, string> },
) {
  const device = await post(`${issuer}/device/auth`, { scope: SCOPE, ...asked })
  const verificationUriComplete = device.verification_uri_complete ?? ''
  const titles = await confirmDevice({ verificationUriComplete, ...choices })
  const tokens = await post(`${issuer}/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: device.device_code ?? '',
  })
  return { titles, tokens, claims: claimsOf(tokens.id_token) }
}

const signIn = async (issuer: string, login: string) => (await walk(issuer, { login })).tokens

const refresh = (issuer: string, token = '') =>
  post(`${issuer}/token`, { grant_type: 'refresh_token', refresh_token: token })

function claimsOf(token = ''): Record<string, unknown> {
  if (!token) return {}
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

test.each([
  ['dev', []],
  ['lead', ['platform-oncall']],
  ['admin', ['jit-admins', 'platform-oncall']],
])(
  '%s signs in without a password, with groups %j in the identity token, renewed ones too',
  async (login, groups) => {
    const { issuer } = await start()
    const tokens = await signIn(issuer, login)
    const claims = {
      iss: issuer,
      aud: 'jit-cli',
      preferred_username: login,
      email: expect.any(String),
      name: expect.any(String),
      groups,
      auth_time: expect.any(Number),
    }
    expect(claimsOf(tokens.id_token)).toMatchObject(claims)
    expect(claimsOf((await refresh(issuer, tokens.refresh_token)).id_token)).toMatchObject(claims)
  },
)

test('a device may poll every second', async () => {
  const { issuer } = await start()
  expect(await post(`${issuer}/device/auth`, { scope: SCOPE })).toMatchObject({ interval: 1 })
})

test('a refresh token works once; used again it ends the sign-in', async () => {
  const { issuer } = await start()
  const first = await signIn(issuer, 'dev')
  const second = await refresh(issuer, first.refresh_token)
  expect(second.refresh_token).not.toBe(first.refresh_token)
  expect(await refresh(issuer, first.refresh_token)).toMatchObject({ error: 'invalid_grant' })
  expect(await refresh(issuer, second.refresh_token)).toMatchObject({ error: 'invalid_grant' })
})

test('with a file, keys and refresh tokens outlive the provider', async () => {
  const file = join(folder, 'provider.db')
  const before = await start({ file })
  const tokens = await signIn(before.issuer, 'dev')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  const keys = await (
    await fetch(`${before.issuer}/jwks`, { headers: { connection: 'close' } })
  ).json()
  await before.stop()
  const after = await start({ file, port: before.port })
  expect(await (await fetch(`${after.issuer}/jwks`)).json()).toEqual(keys)
  expect(await refresh(after.issuer, tokens.refresh_token)).toHaveProperty('id_token')
})

test('pages have one form, need no script, and put refusing last', async () => {
  const { issuer } = await start()
  const device = await post(`${issuer}/device/auth`, { scope: SCOPE })
  const { html } = await new Browser().open(new URL(device.verification_uri_complete ?? ''))
  expect(html.match(/<form/g)).toHaveLength(1)
  expect(html).not.toMatch(/<script|onload=|onclick=/)
  const names = [...html.matchAll(/<button[^>]*name="(\w+)"/g)].map(([, name]) => name)
  expect(names).toEqual(['confirm', 'abort'])
})

test('what comes from outside is escaped on its pages', async () => {
  const { issuer } = await start()
  const evil = new URL(`${issuer}/device?user_code=${encodeURIComponent('"><script>x</script>')}`)
  const { html } = await new Browser().open(evil)
  expect(html).not.toContain('<script>')
  expect(html).toContain('&lt;script&gt;')
})

test('a page of a sign-in that isn’t there says so', async () => {
  const { issuer } = await start()
  const page = await new Browser().open(new URL(`${issuer}/interaction/nonsense`))
  expect(page.html).toContain('Nothing to confirm')
})

describe('a browser that is signed in already', () => {
  const ACCOUNT = 'Choose an account'

  test('is asked for nothing again, unless max_age says that it was too long ago', async () => {
    const { issuer } = await start()
    const choices = { login: 'dev', browser: new Browser() }
    const first = await walk(issuer, choices)
    expect(first.titles).toContain(ACCOUNT)
    const again = await walk(issuer, { ...choices, asked: { max_age: '60' } })
    expect(again.titles).not.toContain(ACCOUNT)
    expect(again.claims.auth_time).toBe(first.claims.auth_time)
    const fresh = await walk(issuer, { ...choices, asked: { max_age: '0' } })
    expect(fresh.titles).toContain(ACCOUNT)
    expect(fresh.claims.auth_time).toBeGreaterThanOrEqual(Number(again.claims.auth_time))
  })

  test('may choose another account', async () => {
    const { issuer } = await start()
    const browser = new Browser()
    await walk(issuer, { login: 'dev', browser })
    const { claims } = await walk(issuer, { login: 'lead', browser, asked: { max_age: '0' } })
    expect(claims.sub).toBe('lead')
  })

  test('confirms once more where acr_values wants it, and only then', async () => {
    const { issuer } = await start()
    const choices = { login: 'dev', browser: new Browser() }
    const plain = await walk(issuer, choices)
    expect(plain.claims).toMatchObject({ amr: ['user'] })
    expect(plain.claims).not.toHaveProperty('acr')
    const asked = { acr_values: 'urn:else urn:jit:mfa' }
    const stronger = await walk(issuer, { ...choices, asked })
    expect(stronger.titles).toContain('Confirm once more')
    const strong = { acr: 'urn:jit:mfa', amr: ['user', 'mfa'] }
    expect(stronger.claims).toMatchObject(strong)
    const renewed = claimsOf((await refresh(issuer, stronger.tokens.refresh_token)).id_token)
    expect(renewed).toMatchObject({ ...strong, auth_time: stronger.claims.auth_time })
    const unknown = await walk(issuer, { login: 'dev', asked: { acr_values: 'urn:else' } })
    expect(unknown.claims).not.toHaveProperty('acr')
  })

  test('who refuses to confirm once more is not signed in', async () => {
    const { issuer } = await start()
    const refusing = { login: 'dev', refuseAt: /once more/ }
    const { tokens } = await walk(issuer, { ...refusing, asked: { acr_values: 'urn:jit:mfa' } })
    expect(tokens).toMatchObject({ error: 'access_denied' })
  })
})

test('a nonce gets into the identity token of a device as well, as with Keycloak', async () => {
  const { issuer } = await start()
  const { claims } = await walk(issuer, { login: 'dev', asked: { nonce: 'of-a-request' } })
  expect(claims.nonce).toBe('of-a-request')
})

test('says which authentication contexts it knows', async () => {
  const { issuer } = await start()
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
  expect(metadata).toMatchObject({ acr_values_supported: ['urn:jit:mfa'] })
})

test('a copilot is announced on every page of its sign-in, by name and as one', async () => {
  const { issuer } = await start()
  const client = { client_id: 'jit-agent', agent_name: 'claude' }
  const device = await post(`${issuer}/device/auth`, { scope: SCOPE, ...client })
  const address = new URL(device.verification_uri_complete ?? '')
  const { html } = await new Browser().open(address)
  expect(html).toContain('This is for the copilot claude, not for you')
  const titles = await confirmDevice({ verificationUriComplete: address.href, login: 'dev' })
  expect(titles).toContain('Confirm the code of a copilot')
  expect(titles).toContain('Let the copilot claude work for you')
  const tokens = await post(`${issuer}/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: device.device_code ?? '',
    client_id: 'jit-agent',
  })
  expect(claimsOf(tokens.id_token)).toMatchObject({ aud: 'jit-agent', sub: 'dev' })
})

test.each(['<b>x</b>', 'CAPITALS', ''])(
  'a copilot that calls itself %j is shown as one without a name',
  async (agent_name) => {
    const { issuer } = await start()
    const client = { client_id: 'jit-agent', agent_name }
    const device = await post(`${issuer}/device/auth`, { scope: SCOPE, ...client })
    const { html } = await new Browser().open(new URL(device.verification_uri_complete ?? ''))
    expect(html).toContain('the copilot without a name')
    if (agent_name) expect(html).not.toContain(agent_name)
  },
)
