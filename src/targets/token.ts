import { timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { isPrivateTransport } from '../lib/address.ts'
import { toTimestamp } from '../lib/clock.ts'
import { Name, text } from '../protocol/values.ts'
import type {
  Credential,
  LeaseIntent,
  LeaseToRevoke,
  Minted,
  RevocationOutcome,
  Target,
  TargetContext,
  TargetKind,
} from './target.ts'

const Reference = v.pipe(
  v.string(),
  v.regex(/^(?:env|file):.+$/, 'expected a reference: env:NAME or file:PATH'),
)

const URL_EXPECTED = 'expected an https URL, or http on loopback, without user, query or fragment'

/** Where tokens may be sent: nobody can read them on the way. */
const ApiUrl = v.pipe(
  v.string(URL_EXPECTED),
  v.maxLength(2048),
  v.check((text) => {
    const url = URL.parse(text)
    if (!url || url.username || url.password || url.search || url.hash) return false
    return isPrivateTransport(url)
  }, URL_EXPECTED),
)

const TokenConfig = v.strictObject({
  /** `aud` of the tokens: what the API behind this target calls itself. */
  audience: v.pipe(text(512), v.minLength(1, 'expected the audience that the API checks')),
  /** Of the API: a proxy puts the token into requests to its host and port, and into no others. */
  url: v.optional(ApiUrl),
  tasks: v.record(Name, v.strictObject({ scope: v.optional(text(1024), '') })),
  /** With it, the API can ask whether a token still counts (RFC 7662): user name the target's, password this. */
  introspection_secret: v.optional(Reference),
})
type TokenConfig = v.InferOutput<typeof TokenConfig>

/**
 * The subject of a grant token: the principal's kind, environment, task and what an issuer signed,
 * each part percent-encoded so that none can pose as two.
 */
function subjectOf({ principal, environment, task, signed }: LeaseIntent['grant']): string {
  const parts = { kind: principal.kind, environment, task, ...signed }
  return Object.entries(parts)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}:${encodeURIComponent(value)}`)
    .join(':')
}

/** `dev-api` → `DEV_API_TOKEN`, `DEV_API_URL` */
const variableOf = (target: string, what: 'TOKEN' | 'URL') =>
  `${target.toUpperCase().replaceAll('-', '_')}_${what}`

class TokenTarget implements Target {
  readonly type = 'token'
  readonly recoverable = 'no'
  readonly isGrantToken = true
  readonly name: string
  readonly revocability: Target['revocability']
  readonly tasks: ReadonlySet<string>
  readonly variables: readonly string[]
  readonly introspection?: NonNullable<Target['introspection']>
  readonly #config: TokenConfig
  readonly #context: TargetContext

  constructor(config: TokenConfig, context: TargetContext) {
    this.name = context.name
    this.tasks = new Set(Object.keys(config.tasks))
    const url = config.url === undefined ? [] : [variableOf(context.name, 'URL')]
    this.variables = [variableOf(context.name, 'TOKEN'), ...url]
    this.revocability = config.introspection_secret === undefined ? 'ttl-only' : 'hard'
    this.#config = config
    this.#context = context
    if (config.introspection_secret !== undefined) {
      const secret = Buffer.from(context.resolveReference(config.introspection_secret))
      this.introspection = {
        audience: config.audience,
        accepts(presented) {
          const bytes = Buffer.from(presented)
          return bytes.length === secret.length && timingSafeEqual(bytes, secret)
        },
      }
    }
  }

  rights(task: string): readonly string[] {
    const scope = this.#config.tasks[task]?.scope ?? ''
    return scope === '' ? [] : scope.split(' ')
  }

  async identity(): Promise<string> {
    return this.#config.audience
  }

  async mint(lease: LeaseIntent): Promise<Minted> {
    const scope = this.rights(lease.grant.task).join(' ')
    const token = await this.#context.signGrantToken({
      sub: subjectOf(lease.grant),
      aud: this.#config.audience,
      // Whole seconds, never dead before its deadline.
      exp: Math.ceil(lease.expiresAt / 1000),
      jti: lease.handle,
      grant: lease.grant.id,
      principal: lease.grant.principal.id,
      ...(scope === '' ? {} : { scope }),
    })
    return { credential: this.#credential(token, lease) }
  }

  #credential(token: string, { delivery }: LeaseIntent): Credential {
    const { url } = this.#config
    const env = (values: { token: string; url: string }) => ({
      [variableOf(this.name, 'TOKEN')]: values.token,
      ...(url === undefined ? {} : { [variableOf(this.name, 'URL')]: values.url }),
    })
    if (delivery === 'env' || url === undefined) {
      const values = { token, url: url ?? '' }
      return { values, env: env(values), unset: [] }
    }
    const upstream = { kind: 'http', url, token } as const
    return { values: {}, env: env({ token: '{{token}}', url: '{{url}}' }), upstream, unset: [] }
  }

  async revoke(lease: LeaseToRevoke): Promise<RevocationOutcome> {
    if (this.introspection) return { kind: 'revoked', detail: 'introspection answers inactive' }
    const at = Math.ceil(lease.expiresAt / 1000) * 1000
    return this.#context.now() >= at
      ? { kind: 'revoked', detail: 'expired' }
      : { kind: 'ends_at', at, detail: `can't be revoked: valid until ${toTimestamp(at)}` }
  }

  async close(): Promise<void> {}
}

/** Tokens signed by the broker for APIs that trust its grant keys. */
export const tokenKind: TargetKind<TokenConfig> = {
  type: 'token',
  config: TokenConfig,
  valueNames: ['token', 'url'],
  secretNames: ['token'],
  proxied: ({ url }) => url !== undefined,
  create: (config, context) => new TokenTarget(config, context),
}
