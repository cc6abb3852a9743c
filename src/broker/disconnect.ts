import { JitError } from '../lib/errors.ts'
import type { LeaseToRevoke } from '../targets/target.ts'
import type { Fleet } from './fleet.ts'
import { inTime } from './in-time.ts'
import type { Log } from './log.ts'
import type { LeaseRow } from './store/schema.ts'

/** So many leases of one target are revoked at once anyway. */
const FEW = 8
/** How long it may take, in milliseconds. */
const WITHIN_MS = 5000

/**
 * Ends what is open with many leases of one target together, so that no session goes on until the turn of its
 * lease comes. Each is revoked all the same, whatever came of this.
 */
export async function disconnectTogether(
  leases: readonly LeaseRow[],
  { fleet, log }: { fleet: Fleet; log: Log },
): Promise<void> {
  const byTarget = Map.groupBy(leases, ({ target }) => target)
  const crowds = [...byTarget].filter(([, crowd]) => crowd.length > FEW)
  await Promise.all(
    crowds.map(async ([name, crowd]) => {
      const target = fleet.get(name)?.target
      if (!target?.disconnect) return
      try {
        await inTime({ target: name, milliseconds: WITHIN_MS }, async (signal) => {
          const identity = await fleet.identity(target, signal)
          const here = crowd.filter(
            (lease) => lease.type === target.type && lease.target_identity === identity,
          )
          await target.disconnect?.(here.map(leaseToRevoke), signal)
        })
      } catch (thrown) {
        const { message: reason } = JitError.from(thrown)
        log.info('leases were not disconnected together', { target: name, reason })
      }
    }),
  )
}

/** What a target has to know of a lease to revoke it. */
export function leaseToRevoke(lease: LeaseRow): LeaseToRevoke {
  return {
    handle: lease.handle,
    expiresAt: lease.expires_at,
    confirmed: lease.confirmed === 1,
    mintBy: lease.mint_by,
    ...(lease.external_id === null ? {} : { externalId: lease.external_id }),
  }
}
