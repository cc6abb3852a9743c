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

/** `broker.yaml`, validated. Durations are seconds, paths absolute; secrets are still references. */
export interface BrokerConfig {
  readonly file: string
  /** The directory that relative references start from. */
  readonly directory: string
  /** How clients reach the broker, without a trailing slash. */
  readonly url: string
  readonly grantsIssuer: string
  readonly listen: { readonly host: string; readonly port: number }
  readonly store: { readonly kind: 'sqlite'; readonly path: string }
  /** `generate`: nothing was configured, so the file is made at first start. */
  readonly sealKey: { readonly reference: string; readonly generate: boolean }
  readonly policies: string
  readonly identity: readonly IdentityConfig[]
  readonly groups: readonly string[]
  readonly approvers: readonly string[]
  /** Seconds that a request waits. */
  readonly approval: { readonly lapse: number }
  /** Authentication contexts that a fresh sign-in may be asked for. */
  readonly acr: readonly string[]
  readonly tasks: readonly string[]
  readonly environments: Readonly<Record<string, { readonly tier: string }>>
  readonly labels: Readonly<Record<string, LabelType>>
  readonly targets: Readonly<Record<string, TargetConfig>>
  /** By name. */
  readonly notify: Readonly<Record<string, HookConfig>>
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly dangerouslyAllowPlainHttp: boolean
  readonly limits: { readonly grantsPerPrincipal: number }
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
  const abilities = Object.entries(config.targets).map(([name, { settings, ttl }]) => {
    const tasks = isMap(settings) && isMap(settings.tasks) ? Object.keys(settings.tasks) : []
    return [name, { tasks, ttl }] as const
  })
  return { ...vocabularyOf(config), abilities: Object.fromEntries(abilities) }
}
