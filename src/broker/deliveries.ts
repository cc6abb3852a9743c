import { JitError } from '../lib/errors.ts'
import { usualDelivery } from '../policy/usual-delivery.ts'
import type { Deliveries, Delivery } from '../protocol/delivery.ts'
import type { Principal } from '../protocol/principal.ts'
import type { FleetMember } from './fleet.ts'

/** How one target's credential is to reach the command. @throws JitError `internal` for a target that wasn't asked for */
export function deliveryOf({ deliveries }: { deliveries: Deliveries }, target: string): Delivery {
  const delivery = deliveries[target]
  if (delivery === undefined) throw new JitError('internal', `${target}: no delivery`)
  return delivery
}

/** Whether a proxy can use a target's credentials in a command's place, as it is configured today. */
export function isProxied({ config }: Pick<FleetMember, 'config'>): boolean {
  return config.kind.proxied?.(config.settings) ?? false
}

/**
 * What was asked for, or what is usual for who asks.
 * @throws JitError `request_invalid` for a proxy where there can be none
 */
export function resolveDeliveries(
  members: readonly FleetMember[],
  { asked, kind }: { asked: Delivery | undefined; kind: Principal['kind'] },
): Deliveries {
  const entries = members.map((member) => {
    const proxied = isProxied(member)
    if (asked === 'proxy' && !proxied) throw unproxied(member, 'request_invalid')
    return [member.target.name, asked ?? usualDelivery(kind, { proxied })] as const
  })
  return Object.fromEntries(entries)
}

/**
 * What was recorded has to be possible still: nothing falls back to another delivery.
 * @throws JitError `target_refused`
 */
export function checkDeliveries(members: readonly FleetMember[], deliveries: Deliveries): void {
  const gone = members.find(
    (member) => deliveries[member.target.name] === 'proxy' && !isProxied(member),
  )
  if (gone) throw unproxied(gone, 'target_refused')
}

function unproxied({ target }: FleetMember, code: 'request_invalid' | 'target_refused'): JitError {
  return new JitError(code, `'${target.name}' can't be delivered by a proxy`, {
    hint: "a token target can once broker.yaml says where its API is, by the target's url:",
  })
}
