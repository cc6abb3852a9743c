import type { Delivery } from '../protocol/delivery.ts'
import type { Principal } from '../protocol/principal.ts'

/** Where nobody says how: an agent gets nothing in its environment that a proxy could use in its place. */
export function usualDelivery(
  kind: Principal['kind'],
  { proxied }: { proxied: boolean },
): Delivery {
  return kind === 'agent' && proxied ? 'proxy' : 'env'
}
