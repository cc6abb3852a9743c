/** How sensitive a target's data is, least first. */
export const SENSITIVITIES = ['public', 'internal', 'confidential', 'restricted'] as const
export type Sensitivity = (typeof SENSITIVITIES)[number]

/** Actions that are the broker's own, decided on beside tasks: no task may be called like one of them. */
export const BUILT_IN_ACTIONS = ['view', 'revoke', 'approve', 'offboard', 'audit', 'reach'] as const
export type BuiltInAction = (typeof BUILT_IN_ACTIONS)[number]

export type LabelType = 'string' | 'bool' | 'long'

/** Every name that a policy may use, from `broker.yaml`: anything else in a policy is a mistake. */
export interface Vocabulary {
  readonly groups: readonly string[]
  /** The groups that may be asked to approve. */
  readonly approvers: readonly string[]
  /** Authentication contexts that a fresh sign-in may be asked for. */
  readonly acr: readonly string[]
  readonly environments: Readonly<Record<string, { readonly tier: string }>>
  readonly tasks: readonly string[]
  readonly targets: Readonly<
    Record<
      string,
      { readonly environment: string; readonly sensitivity: Sensitivity; readonly type: string }
    >
  >
  readonly labels: Readonly<Record<string, LabelType>>
}

/** The names, and what each target may be asked for: what a request is checked against before policies are asked. */
export interface Inventory extends Vocabulary {
  readonly abilities: Readonly<
    Record<
      string,
      {
        readonly tasks: readonly string[]
        /** Whether its credentials can be delivered by a proxy. */
        readonly proxied: boolean
        /** Seconds. */
        readonly ttl: { readonly default: number; readonly max: number }
      }
    >
  >
}

/** The tiers of all environments, each once. */
export function tiersOf(vocabulary: Vocabulary): string[] {
  return [...new Set(Object.values(vocabulary.environments).map(({ tier }) => tier))]
}

/** The kinds of all targets, each once. */
export function targetTypesOf(vocabulary: Vocabulary): string[] {
  return [...new Set(Object.values(vocabulary.targets).map(({ type }) => type))]
}
