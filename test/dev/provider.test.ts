import { mkdtemp, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createProvider } from '../../src/dev/provider.ts'
import { Browser, confirmDevice } from '../servers/browser.ts'

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

async function signIn(issuer: string, login: string) {
  const device = await post(`${issuer}/device/auth`, { scope: SCOPE })
  const verificationUriComplete = device.verification_uri_complete ?? ''
  await confirmDevice({ verificationUriComplete, login })
  return post(`${issuer}/token`, {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: device.device_code ?? '',
  })
}

const refresh = (issuer: string, token = '') =>
  post(`${issuer}/token`, { grant_type: 'refresh_token', refresh_token: token })

function claimsOf(token = ''): Record<string, unknown> {
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
