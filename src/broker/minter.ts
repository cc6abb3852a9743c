import { JitError } from '../lib/errors.ts'
import type { GrantContext } from '../protocol/grant.ts'
import type { Principal } from '../protocol/principal.ts'
import type { Fleet } from './fleet.ts'
import { inTime } from './in-time.ts'
import { MINT_WINDOW_MS, type MintedLease } from './ledger/lease-transitions.ts'
import type { GrantRow, LeaseRow } from './store/schema.ts'

/** All of a grant's credentials, or what went wrong with the first that failed. */
export type MintOutcome =
  | { readonly kind: 'minted'; readonly minted: readonly MintedLease[] }
  | { readonly kind: 'failed'; readonly error: JitError; readonly minted: readonly MintedLease[] }

type GrantFacts = Pick<GrantRow, 'id' | 'environment' | 'task'> & {
  readonly principal: Principal
  readonly context: GrantContext
}

/** Has each target create its credential; every intent is durable before. */
export async function mintAll(
  intents: readonly LeaseRow[],
  { fleet, grant }: { fleet: Fleet; grant: GrantFacts },
): Promise<MintOutcome> {
  const { repository, branch, commit } = grant.context
  const results = await Promise.allSettled(
    intents.map(async (lease): Promise<MintedLease> => {
      const target = fleet.get(lease.target)?.target
      if (!target) throw new JitError('internal', `target ${lease.target} is not configured`)
      const intent = {
        handle: lease.handle,
        mintBy: lease.mint_by,
        expiresAt: lease.expires_at,
        delivery: lease.delivery,
        grant: {
          id: grant.id,
          principal: grant.principal,
          environment: grant.environment,
          task: grant.task,
          signed: { repository, branch, commit },
        },
      }
      const patience = { target: lease.target, milliseconds: MINT_WINDOW_MS / 2 }
      return { lease, minted: await inTime(patience, (signal) => target.mint(intent, signal)) }
    }),
  )
  const minted = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = results.find((result) => result.status === 'rejected')
  return failed
    ? { kind: 'failed', error: JitError.from(failed.reason), minted }
    : { kind: 'minted', minted }
}
