import { JitError } from '../../lib/errors.ts'
import type { Principal } from '../../protocol/principal.ts'
import { WAITING_STATES } from '../grant-state.ts'
import type { Tx } from '../store/store.ts'
import type { DecidedRequest } from './decided-request.ts'

/** Denied requests that one principal may have recorded in a minute: the log is not theirs to fill. */
const DENIALS_PER_MINUTE = 60
/** Events of one kind and one grant in a minute, for the same reason. */
const REPEATS_PER_MINUTE = 60
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
    throw tooMany(`${lately} of your requests came to wait in a minute`)
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
  if (Number(denied) < DENIALS_PER_MINUTE) return
  throw tooMany(`${denied} of your requests were denied in a minute`)
}

/**
 * What one may do to a request again and again is not recorded without end.
 * @throws JitError `limit_reached`
 */
export async function checkRepeats(
  tx: Tx,
  { event, grant, now }: { event: string; grant: string; now: number },
): Promise<void> {
  const { times } = await tx
    .selectFrom('audit')
    .select((eb) => eb.fn.countAll<number>().as('times'))
    .where('grant_id', '=', grant)
    .where('event', '=', event)
    .where('at', '>', now - 60_000)
    .executeTakeFirstOrThrow()
  if (Number(times) < REPEATS_PER_MINUTE) return
  throw tooMany(`that was done ${times} times in a minute`)
}

function tooMany(what: string): JitError {
  return new JitError('limit_reached', what, { hint: 'wait a minute before you ask again' })
}
