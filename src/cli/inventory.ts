import type { BrokerClient } from '../client/broker.ts'
import type { Grant } from '../protocol/grant.ts'
import type { Sandbox } from '../protocol/sandbox.ts'
import { grantTable } from './grant-text.ts'
import { sandboxesOf, sandboxLines } from './sandbox-text.ts'
import type { View } from './view.ts'

/** Whose. */
export type Scope = 'mine' | 'all'

/** What lives, or waits. */
export interface Inventory {
  readonly grants: readonly Grant[]
  readonly sandboxes: readonly Sandbox[]
}

/** What lives now. @throws JitError what the broker answers */
export async function inventory(client: BrokerClient, scope: Scope): Promise<Inventory> {
  const [grants, sandboxes] = await Promise.all([client.grants(scope), sandboxesOf(client, scope)])
  return { grants, sandboxes }
}

/** A table of the grants and one of the sandboxes. */
export function inventoryLines({ grants, sandboxes }: Inventory, view: View): string[] {
  return [
    ...(grants.length > 0 ? grantTable(grants, view) : []),
    ...sandboxLines(sandboxes, { ...view, grants }),
  ]
}

/** Said where {@link inventoryLines} has no table of grants. */
export const NO_GRANTS = 'no live grants, and no request that waits'
