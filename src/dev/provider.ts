import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Configuration, type errors, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import { deviceAnswers, devicePages, show } from './provider-device.ts'
import {
  type Account,
  accountPages,
  DEVELOPMENT_CLIENTS,
  questions,
  STRONGER,
} from './provider-interactions.ts'
import { ProviderStore } from './provider-store.ts'

const HOUR = 3600
const DAY = 24 * HOUR

/** The accounts of the development provider, by login. No password. */
const DEVELOPMENT_ACCOUNTS: readonly Account[] = [
  { login: 'dev', name: 'Dev', groups: [] },
  { login: 'lead', name: 'Lead', groups: ['platform-oncall'] },
  { login: 'admin', name: 'Admin', groups: ['jit-admins', 'platform-oncall'] },
]

export interface DevelopmentProvider {
  readonly issuer: string
  /** Answers every request under the issuer's path. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void
  /** Closes its store; the handler answers nothing from then on. */
  readonly close: () => void
}

/**
 * An OIDC provider for development: the real protocol, accounts without passwords.
 * @param options.issuer URL on loopback, with or without a path (`http://127.0.0.1:7420/idp`)
 * @param options.file SQLite file for sign-ins, refresh tokens and keys; in memory when absent
 * @param options.log gets one line an event; never a token
 */
export function createProvider(options: {
  issuer: string
  file?: string
  log?: (line: string) => void
}): DevelopmentProvider {
  const store = new ProviderStore(options.file ?? ':memory:')
  const provider = new Provider(options.issuer, configuration(options.issuer, store))
  // Koa prints what it can't answer for; the log gets it instead.
  provider.silent = true
  logEvents(provider, options.log ?? (() => {}))
  provider.use(deviceAnswers)
  provider.use(accountPages(provider, DEVELOPMENT_ACCOUNTS))
  const callback = provider.callback()
  const prefix = new URL(options.issuer).pathname.replace(/\/$/, '')
  return {
    issuer: options.issuer,
    handler: (request, response) => {
      // oidc-provider finds the path it is mounted at by comparing these two (as under Express).
      Object.assign(request, { originalUrl: request.url })
      request.url = request.url?.slice(prefix.length) || '/'
      void callback(request, response)
    },
    close: () => store.close(),
  }
}

function configuration(issuer: string, store: ProviderStore): Configuration {
  const cookieKey = store.setting('cookie_key', () => randomBytes(32).toString('base64url'))
  const key = store.setting('signing_key', newSigningKey)
  return {
    adapter: (model) => store.adapter(model),
    clients: Object.values(DEVELOPMENT_CLIENTS).map(nativeClient),
    jwks: { keys: [JSON.parse(key)] },
    cookies: { keys: [cookieKey], short: { path: new URL(issuer).pathname } },
    claims: {
      openid: ['sub', 'auth_time', 'acr', 'amr'],
      profile: ['name', 'preferred_username', 'groups'],
      email: ['email'],
    },
    // Claims go into the ID token, where the broker reads them (OpenID Connect Core section 5.4).
    conformIdTokenClaims: false,
    findAccount: (_context, login) => findAccount(login),
    acrValues: [STRONGER],
    extraParams: ['agent_name'],
    rotateRefreshToken: true,
    interactions: {
      policy: questions(),
      url: (_context, interaction) => `${issuer}/interaction/${interaction.uid}`,
    },
    ttl: lifetimes,
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      userinfo: { enabled: true },
      revocation: {
        enabled: true,
        allowedPolicy: (_context, client, token) => token.clientId === client.clientId,
      },
      deviceFlow: devicePages,
    },
    renderError: (context, out) =>
      show(context, { title: 'That did not work', text: [out.error_description ?? out.error] }),
  }
}

/** Seconds. A browser's sign-in lasts two minutes only, so that the next one may choose another account. */
const lifetimes: NonNullable<Configuration['ttl']> = {
  AccessToken: HOUR,
  AuthorizationCode: 60,
  DeviceCode: 10 * 60,
  Grant: 14 * DAY,
  IdToken: HOUR,
  Interaction: HOUR,
  RefreshToken: 14 * DAY,
  Session: 120,
}

function findAccount(login: string) {
  const account = DEVELOPMENT_ACCOUNTS.find((candidate) => candidate.login === login)
  if (!account) return undefined
  return {
    accountId: login,
    claims: () => ({
      sub: login,
      preferred_username: login,
      name: account.name,
      email: `${login}@jit.localhost`,
      groups: [...account.groups],
    }),
  }
}

function nativeClient(id: string) {
  return {
    client_id: id,
    client_name: id,
    application_type: 'native' as const,
    token_endpoint_auth_method: 'none' as const,
    grant_types: [
      'urn:ietf:params:oauth:grant-type:device_code',
      'authorization_code',
      'refresh_token',
    ],
    response_types: ['code' as const],
    // RFC 8252 section 7.3: a native client's loopback port is its own choice.
    redirect_uris: ['http://127.0.0.1/callback'],
    id_token_signed_response_alg: 'ES256' as const,
    require_auth_time: true,
  }
}

function newSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const id = randomBytes(9).toString('base64url')
  return JSON.stringify({
    ...privateKey.export({ format: 'jwk' }),
    alg: 'ES256',
    use: 'sig',
    kid: id,
  })
}

function logEvents(provider: Provider, log: (line: string) => void): void {
  const client = (context: KoaContextWithOIDC) => context.oidc?.client?.clientId ?? 'unknown client'
  const refused = (context: KoaContextWithOIDC, error: errors.OIDCProviderError) => {
    // A device that polls is told "not yet" every second: nothing to write down.
    if (error.error === 'authorization_pending') return
    log(`provider: ${client(context)}: ${error.error}: ${error.error_description ?? error.message}`)
  }
  provider.on('grant.success', (context) => {
    const who = context.oidc.account?.accountId ?? 'nobody'
    log(`provider: ${client(context)}: tokens for ${who} (${context.oidc.params?.grant_type})`)
  })
  provider.on('grant.error', refused)
  provider.on('authorization.error', refused)
  provider.on('server_error', (_context, error) => log(`provider: failed: ${error.message}`))
}
