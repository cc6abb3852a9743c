import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import type { Target, TargetContext } from '../targets/target.ts'
import type { BrokerConfig, TargetConfig } from './config/config.ts'
import { renderTemplate } from './config/template.ts'
import type { MintedLease } from './ledger/lease-transitions.ts'

/** How long a target's answer to who it is may be relied on, in milliseconds. */
const IDENTITY_KEPT_MS = 5000

/** A target as configured, and as it runs. */
export interface FleetMember {
  readonly config: TargetConfig
  readonly target: Target
}

/** The targets of a broker. */
export class Fleet {
  readonly #members: ReadonlyMap<string, FleetMember>
  readonly #identities = new Map<string, { identity: string; until: number }>()

  constructor(
    config: BrokerConfig,
    {
      context,
      observe,
    }: {
      context: (name: string, target: TargetConfig) => TargetContext
      /** As it is to be called. */
      observe: (target: Target) => Target
    },
  ) {
    this.#members = new Map(
      Object.entries(config.targets).map(([name, target]) => [
        name,
        {
          config: target,
          target: observe(target.kind.create(target.settings, context(name, target))),
        },
      ]),
    )
  }

  get(name: string): FleetMember | undefined {
    return this.#members.get(name)
  }

  members(): readonly FleetMember[] {
    return [...this.#members.values()]
  }

  /**
   * What a target is connected to.
   * @throws JitError `target_unreachable`, `target_refused`
   */
  async identity(target: Target, signal: AbortSignal): Promise<string> {
    const kept = this.#identities.get(target.name)
    if (kept && kept.until > performance.now()) return kept.identity
    this.#identities.delete(target.name)
    const identity = await target.identity(signal)
    this.#identities.set(target.name, { identity, until: performance.now() + IDENTITY_KEPT_MS })
    return identity
  }

  /** After a target failed: whoever answers next has to say who it is. */
  forgetIdentity(name: string): void {
    this.#identities.delete(name)
  }

  /**
   * A minted credential as the client gets it: the usual variables, then those of `env:` templates. With
   * an `upstream` both are left for the proxy to fill.
   */
  deliver({ lease, minted }: MintedLease): DeliveredCredential {
    const member = this.#members.get(lease.target)
    if (!member) throw new JitError('internal', `target ${lease.target} is not configured`)
    const { values, env, upstream, unset } = minted.credential
    const rendered = Object.entries(member.config.env).map(([name, template]) => [
      name,
      renderTemplate(template, values),
    ])
    return {
      lease: lease.id,
      target: lease.target,
      type: lease.type,
      handle: lease.handle,
      revocability: lease.revocability,
      expires_at: toTimestamp(lease.expires_at),
      renewable: member.target.extend !== undefined,
      env: { ...env, ...Object.fromEntries(rendered) },
      secrets: secretsOf(member, values),
      ...(upstream ? { upstream } : {}),
      unset: [...unset],
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#members.values()].map(({ target }) => target.close()))
  }
}

/** Of a proxied credential there are none: its values hold no secret. */
function secretsOf({ config }: FleetMember, values: Readonly<Record<string, string>>): string[] {
  return config.kind.secretNames.map((name) => values[name] ?? '').filter((value) => value !== '')
}
