import { timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'
import { toTimestamp } from '../lib/clock.ts'
import { Name, text } from '../protocol/values.ts'
import type {
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

const TokenConfig = v.strictObject({
  /** `aud` of the tokens: what the API behind this target calls itself. */
  audience: v.pipe(text(512), v.minLength(1, 'expected the audience that the API checks')),
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

/** `dev-api` → `DEV_API_TOKEN` */
const variableOf = (target: string) => `${target.toUpperCase().replaceAll('-', '_')}_TOKEN`

class TokenTarget implements Target {
  readonly type = 'token'
  readonly recoverable = 'no'
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
    this.variables = [variableOf(context.name)]
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
    const values = { token }
    return { credential: { values, env: { [variableOf(this.name)]: token }, unset: [] } }
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
  valueNames: ['token'],
  create: (config, context) => new TokenTarget(config, context),
}
