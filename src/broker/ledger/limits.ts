import { JitError } from '../../lib/errors.ts'
import type { Principal } from '../../protocol/principal.ts'
import { WAITING_STATES } from '../grant-state.ts'
import type { Tx } from '../store/store.ts'
import type { DecidedRequest } from './decided-request.ts'

/** Denied requests that one principal may have recorded in a minute: the log is not theirs to fill. */
const DENIALS_PER_MINUTE = 60
/** Requests of one principal that may come to wait in a minute: people are told of each. */
const WAITING_PER_MINUTE = 60

/** @throws JitError `session_ended`: it may have ended while the request was under way */
export async function checkSession(tx: Tx, sid: string): Promise<void> {
  const live = await tx
    .selectFrom('sessions')
    .select('sid')
    .where('sid', '=', sid)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  if (!live) throw new JitError('session_ended', 'your session has ended')
}

/**
 * Grants that hold a credential count; one whose credentials only wait for their own end does not.
 * @throws JitError `limit_reached`
 */
export async function checkLiveGrants(tx: Tx, principal: Principal, limit: number): Promise<void> {
  const { live } = await tx
    .selectFrom('grants')
    .select((eb) => eb.fn.countAll<number>().as('live'))
    .where('principal_id', '=', principal.id)
    .where('principal_kind', '=', principal.kind)
    .where((eb) =>
      eb.or([
        eb('state', 'in', ['requested', 'active']),
        eb.and([
          eb('state', '=', 'revoking'),
          eb.exists(
            eb
              .selectFrom('leases')
              .select('leases.id')
              .whereRef('leases.grant_id', '=', 'grants.id')
              .where('leases.outcome', 'is', null),
          ),
        ]),
      ]),
    )
    .executeTakeFirstOrThrow()
  if (Number(live) < limit) return
  throw new JitError('limit_reached', `you hold ${live} live grants, and ${limit} is the limit`, {
    hint: 'see `jit grants`, and end some with `jit revoke ID`',
  })
}

/**
 * Requests that wait count apart: each is shown to people. Those that were withdrawn again count too,
 * for a minute.
 * @throws JitError `limit_reached`
 */
export async function checkWaiting(
  tx: Tx,
  { principal }: DecidedRequest,
  { limit, now }: { limit: number; now: number },
): Promise<void> {
  const { lately } = await tx
    .selectFrom('grants')
    .select((eb) => eb.fn.countAll<number>().as('lately'))
    .where('principal_id', '=', principal.id)
    .where('principal_kind', '=', principal.kind)
    .where('requested_at', '>', now - 60_000)
    .where('lapses_at', 'is not', null)
    .executeTakeFirstOrThrow()
  if (Number(lately) >= WAITING_PER_MINUTE) {
    throw new JitError('limit_reached', `${lately} of your requests came to wait in a minute`, {
      hint: 'wait a minute before you ask again',
    })
  }
  const { waiting } = await tx
    .selectFrom('grants')
    .select((eb) => eb.fn.countAll<number>().as('waiting'))
    .where('principal_id', '=', principal.id)
    .where('principal_kind', '=', principal.kind)
    .where('state', 'in', WAITING_STATES)
    .executeTakeFirstOrThrow()
  if (Number(waiting) < limit) return
  throw new JitError(
    'limit_reached',
    `${waiting} of your requests wait, and ${limit} is the limit`,
    {
      hint: 'see `jit status`, and withdraw some with `jit revoke ID`',
    },
  )
}

/** @throws JitError `limit_reached` */
export async function checkDenials(
  tx: Tx,
  { principal }: DecidedRequest,
  now: number,
): Promise<void> {
  const { denied } = await tx
    .selectFrom('grants')
    .select((eb) => eb.fn.countAll<number>().as('denied'))
    .where('principal_id', '=', principal.id)
    .where('state', '=', 'denied')
    .where('requested_at', '>', now - 60_000)
    .executeTakeFirstOrThrow()
  if (Number(denied) >= DENIALS_PER_MINUTE) throw tooManyDenials(Number(denied))
}

function tooManyDenials(denied: number): JitError {
  return new JitError('limit_reached', `${denied} of your requests were denied in a minute`, {
    hint: 'wait a minute before you ask again',
  })
}

/** @throws JitError `limit_reached` */
export async function checkRepeatedDenials(tx: Tx, grantId: string, now: number): Promise<void> {
  const { denied } = await tx
    .selectFrom('audit')
    .select((eb) => eb.fn.countAll<number>().as('denied'))
    .where('grant_id', '=', grantId)
    .where('event', '=', 'grant.denied')
    .where('at', '>', now - 60_000)
    .executeTakeFirstOrThrow()
  if (Number(denied) >= DENIALS_PER_MINUTE) throw tooManyDenials(Number(denied))
}
