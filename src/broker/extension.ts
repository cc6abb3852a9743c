import { toTimestamp } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import type { Fleet } from './fleet.ts'
import { inTime } from './in-time.ts'
import type { ResolvedRequest } from './requests.ts'
import type { Session } from './sessions.ts'
import type { LeaseRow } from './store/schema.ts'

/** How long targets may take in all to move a deadline, in milliseconds. */
const EXTEND_MS = 10_000

/**
 * The deadline that a renewal leads to: as long from now as was granted, as long as today's targets
 * allow, and never beyond the session.
 * @throws JitError `ttl_too_short` when that isn't later than what there is
 */
export function deadlineAfter({
  now,
  from,
  request,
  session,
}: {
  now: number
  from: number
  request: Pick<ResolvedRequest, 'ttlSeconds' | 'members'>
  session: Pick<Session, 'expiresAt'>
}): number {
  const longest = Math.min(request.ttlSeconds, ...request.members.map((one) => one.config.ttl.max))
  const to = Math.min(now + longest * 1000, session.expiresAt)
  if (to > from) return to
  const why = to === session.expiresAt ? 'your session ends' : 'the target allows no more'
  throw new JitError('ttl_too_short', `it lasts until ${toTimestamp(from)}: ${why}`)
}

/** @throws JitError `target_refused` naming what can't be renewed, whatever policy says */
export function requireExtendable({ members }: Pick<ResolvedRequest, 'members'>): void {
  const fixed = members.find(({ target }) => !target.extend)
  if (fixed) throw new JitError('target_refused', `'${fixed.target.name}' can't be renewed`)
}

/** All of a grant's credentials with the new deadline, or what went wrong with the first that failed. */
export type Extension =
  | { readonly kind: 'extended' }
  /** `back`: those that have the former deadline for certain. */
  | { readonly kind: 'failed'; readonly error: JitError; readonly back: readonly LeaseRow[] }

/** Has each target move the deadline; where one can't, the others move it back. */
export async function extendAll(
  leases: readonly LeaseRow[],
  { from, to, fleet }: { from: number; to: number; fleet: Fleet },
): Promise<Extension> {
  const results = await Promise.allSettled(leases.map((lease) => extend(lease, to, fleet)))
  const failed = results.find((result) => result.status === 'rejected')
  if (!failed) return { kind: 'extended' }
  const undone = await Promise.allSettled(leases.map((lease) => extend(lease, from, fleet)))
  const back = leases.filter((_, index) => undone[index]?.status === 'fulfilled')
  return { kind: 'failed', error: JitError.from(failed.reason), back }
}

async function extend(lease: LeaseRow, until: number, fleet: Fleet): Promise<void> {
  const target = fleet.get(lease.target)?.target
  try {
    await inTime({ target: lease.target, milliseconds: EXTEND_MS }, async (signal) => {
      if (!target?.extend || (await fleet.identity(target, signal)) !== lease.target_identity) {
        throw new JitError('target_refused', `'${lease.target}' is another system now`)
      }
      const known = lease.external_id === null ? {} : { externalId: lease.external_id }
      await target.extend({ handle: lease.handle, ...known }, until, signal)
    })
  } catch (thrown) {
    fleet.forgetIdentity(lease.target)
    throw thrown
  }
}
