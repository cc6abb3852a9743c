import { isMap } from '../../lib/document-schema.ts'
import type { Inventory, LabelType, Sensitivity, Vocabulary } from '../../policy/vocabulary.ts'
import type { TargetKind } from '../../targets/target.ts'

/** One provider whose identity tokens open sessions. */
export interface IdentityConfig {
  /** As the provider writes it: compared by character. */
  readonly issuer: string
  /** What each client id signs in. */
  readonly clients: ReadonlyMap<string, 'human' | 'agent'>
  /** The claim that carries the groups. */
  readonly groupsClaim: string
  readonly scopes: readonly string[]
  /** Hosts beside the issuer's own that its verification page may be on. */
  readonly verificationHosts: readonly string[]
  /** The claim that carries the person's account at the forge. */
  readonly accountClaim?: string
}

/** What issues the tokens of pipelines. */
export type PipelineType = 'github' | 'gitlab' | 'spiffe' | 'kubernetes'

/** Claims that a token must have, each with one of these values. */
export type ClaimRule = ReadonlyMap<string, readonly string[]>

/** One repository or subject whose pipelines may come. */
export interface PipelineRule {
  /** As in `context.repository`: `github.com/acme/shop`; `""` for a subject. */
  readonly repository: string
  /** What the issuer never gives to another: names can be given away. */
  readonly id?: string
  readonly ownerId?: string
  readonly claims: ClaimRule
  /** Groups of its pipelines, each with what their tokens must say for it. */
  readonly groups: ReadonlyMap<string, ClaimRule>
}

/** One issuer whose tokens are those of pipelines. */
export interface PipelineConfig {
  readonly issuer: string
  readonly type: PipelineType
  readonly audience: string
  /** Where its keys are, if not where its discovery document says: a URL, or `file:` and an absolute path. */
  readonly jwksUri?: string
  /** The greatest age of a token in seconds. */
  readonly tokenAge: number
  /** By the issuer's own name: `acme/shop`, or the subject. */
  readonly rules: ReadonlyMap<string, PipelineRule>
}

/** Where commits can be looked up. */
export interface ForgeConfig {
  readonly type: 'github'
  /** Of the REST API, without a trailing slash. */
  readonly url: string
  /** A reference. */
  readonly token?: string
  /** Hosts of the repositories that it knows. */
  readonly hosts: readonly string[]
  /** Seconds. */
  readonly timeout: number
}

/** One target: what all kinds share, and its kind's own part, validated by that kind. */
export interface TargetConfig {
  readonly environment: string
  readonly type: string
  readonly sensitivity: Sensitivity
  /** Seconds. */
  readonly ttl: { readonly default: number; readonly max: number }
  /** Variables beside the usual ones, with `{{name}}` for the credential's values. */
  readonly env: Readonly<Record<string, string>>
  readonly kind: TargetKind<unknown>
  /** What `kind.create` takes. */
  readonly settings: unknown
}

/** Who may push security events, and about whose people. */
export interface TransmitterConfig {
  readonly issuer: string
  /** What its events are addressed to. */
  readonly audience: string
  /** Where its keys are; absent: where its discovery document says. */
  readonly jwksUri?: string
  /** The issuer of `identity:` whose people it may speak of. */
  readonly identity: string
}

/** A webhook that is told of requests that wait, and of emergencies. */
export interface HookConfig {
  /** A URL, or a reference to one. */
  readonly url: string
  /** A reference to the key of its signatures. */
  readonly secret: string
  readonly on: readonly ('pending' | 'break_glass')[]
  /** Told only of requests that wait for one of these groups; absent: of all. */
  readonly groups?: readonly string[]
}

/** Where the ledger rests. */
export type StoreConfig =
  | { readonly kind: 'sqlite'; readonly path: string }
  /** `url`: a `postgres://` URL without a password, or a reference to one. */
  | { readonly kind: 'postgres'; readonly url: string }

/** `broker.yaml`, validated. Durations are seconds, paths absolute; secrets are still references. */
export interface BrokerConfig {
  readonly file: string
  /** The directory that relative references start from. */
  readonly directory: string
  /** How clients reach the broker, without a trailing slash. */
  readonly url: string
  readonly grantsIssuer: string
  readonly listen: { readonly host: string; readonly port: number }
  /** Addresses and networks of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[]
  readonly store: StoreConfig
  /** The first seals, each opens. `generate`: nothing was configured, so the file is made at first start. */
  readonly sealKey: { readonly references: readonly string[]; readonly generate: boolean }
  /** Seconds: how long a signing key signs, and how long others can fetch it before. */
  readonly keys: { readonly rotate?: number; readonly publish: number }
  readonly policies: string
  readonly identity: readonly IdentityConfig[]
  readonly pipelines: readonly PipelineConfig[]
  readonly forge?: ForgeConfig
  readonly groups: readonly string[]
  readonly approvers: readonly string[]
  /** Seconds that a request waits. */
  readonly approval: {
    readonly lapse: number
    /** How long after an approval a grant may be renewed on it, in seconds. */
    readonly renewableFor: number
  }
  /** Authentication contexts that a fresh sign-in may be asked for. */
  readonly acr: readonly string[]
  readonly tasks: readonly string[]
  /** What a context that policy denies does to a task's live grant: ends it, or leaves it to the next renewal. */
  readonly onContextChange: Readonly<Record<string, 'revoke' | 'renewal'>>
  readonly environments: Readonly<Record<string, { readonly tier: string }>>
  readonly labels: Readonly<Record<string, LabelType>>
  readonly targets: Readonly<Record<string, TargetConfig>>
  readonly events: readonly TransmitterConfig[]
  /** By name. */
  readonly notify: Readonly<Record<string, HookConfig>>
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly dangerouslyAllowPlainHttp: boolean
  /** Absent: nothing is counted. Without an address of its own, where the broker listens. */
  readonly metrics?: {
    readonly listen?: { readonly host: string; readonly port: number }
    /** A reference. */
    readonly token?: string
  }
  readonly limits: {
    readonly grantsPerPrincipal: number
    /** Requests of one session of a copilot that may wait at once, and come to wait in ten minutes. */
    readonly agentWaiting: number
    readonly agentAsks: number
    /** Seconds that a copilot may not ask again for what a person denied. */
    readonly agentCooldown: number
    /** Requests and messages of one principal in a minute, at this node. */
    readonly requestsPerPrincipal: number
    /** Requests in a minute from one address that turn out to be nobody's. */
    readonly requestsPerAddress: number
    /** Open connections, in all and from one address. */
    readonly connections: number
    readonly connectionsPerAddress: number
  }
  readonly lifeline: { readonly grace: number; readonly suspendGrace: number }
  readonly session: {
    readonly tokenTtl: number
    readonly idle: number
    readonly maxAge: number
    readonly delegatedMaxAge: number
  }
}

/** What policies may name. */
export function vocabularyOf(config: BrokerConfig): Vocabulary {
  const targets = Object.entries(config.targets).map(
    ([name, { environment, sensitivity, type }]) =>
      [name, { environment, sensitivity, type }] as const,
  )
  const { groups, approvers, acr, environments, tasks, labels } = config
  return {
    groups,
    approvers,
    acr,
    environments,
    tasks,
    labels,
    targets: Object.fromEntries(targets),
  }
}

/** What may be asked for. Every kind keeps what it does for a task under `tasks`. */
export function inventoryOf(config: BrokerConfig): Inventory {
  const abilities = Object.entries(config.targets).map(([name, { kind, settings, ttl }]) => {
    const tasks = isMap(settings) && isMap(settings.tasks) ? Object.keys(settings.tasks) : []
    return [name, { tasks, proxied: kind.proxied?.(settings) ?? false, ttl }] as const
  })
  return { ...vocabularyOf(config), abilities: Object.fromEntries(abilities) }
}
