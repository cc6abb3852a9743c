import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import type { BrokerConfig } from '../config/config.ts'
import { WAITING_STATES } from '../grant-state.ts'
import type { Tx } from '../store/store.ts'
import type { DecidedRequest } from './decided-request.ts'

/** In which so many requests of a copilot may come to wait. */
const ASKS_MS = 10 * 60_000

/**
 * A copilot that asks again and again wears out those who answer: few of a session's requests may
 * wait, and what a person denied isn't asked again for a while. Nothing for anybody else.
 * @param asked.now milliseconds since the epoch
 * @throws JitError `limit_reached`
 */
export async function checkAgentAsks(
  tx: Tx,
  request: DecidedRequest,
  asked: { limits: BrokerConfig['limits']; now: number },
): Promise<void> {
  if (request.principal.kind !== 'agent') return
  await checkWaiting(tx, request, asked)
  await checkCooldown(tx, request, asked)
}

async function checkWaiting(
  tx: Tx,
  { sid }: DecidedRequest,
  { limits, now }: { limits: BrokerConfig['limits']; now: number },
): Promise<void> {
  const rows = await tx
    .selectFrom('grants')
    .select(['state', 'requested_at'])
    .where('sid', '=', sid)
    .where('lapses_at', 'is not', null)
    .where((eb) =>
      eb.or([eb('state', 'in', WAITING_STATES), eb('requested_at', '>', now - ASKS_MS)]),
    )
    .execute()
  const waiting = rows.filter(({ state }) => (WAITING_STATES as readonly string[]).includes(state))
  if (waiting.length >= limits.agentWaiting) {
    const message = `${waiting.length} requests of this copilot wait, and ${limits.agentWaiting} is the limit`
    throw new JitError('limit_reached', message, {
      hint: 'wait for an answer, or withdraw some with `jit revoke ID`',
    })
  }
  const lately = rows.map(({ requested_at: at }) => at).filter((at) => at > now - ASKS_MS)
  if (lately.length < limits.agentAsks) return
  const message = `${lately.length} requests of this copilot came to wait in ten minutes`
  throw new JitError('limit_reached', message, againAfter(Math.min(...lately) + ASKS_MS))
}

/** One target in common is enough: a request with another beside it asks for the same again. */
async function checkCooldown(
  tx: Tx,
  { principal, environment, task, targets }: DecidedRequest,
  { limits, now }: { limits: BrokerConfig['limits']; now: number },
): Promise<void> {
  const cooldown = limits.agentCooldown * 1000
  const refused = await tx
    .selectFrom('grants')
    .innerJoin('audit', 'audit.grant_id', 'grants.id')
    .select(['grants.targets', 'audit.at', 'audit.entry'])
    .where('grants.principal_id', '=', principal.id)
    .where('grants.state', '=', 'refused')
    .where('grants.environment', '=', environment)
    .where('grants.task', '=', task)
    .where('grants.ended_at', '>', now - cooldown)
    .where('audit.event', '=', 'grant.refused')
    .execute()
  const denied = refused.filter(
    (row) =>
      (JSON.parse(row.targets) as string[]).some((name) => targets.includes(name)) &&
      isDenial(row.entry),
  )
  if (denied.length === 0) return
  const message = `a person has denied this copilot ${task} in ${environment} a moment ago`
  const until = Math.max(...denied.map(({ at }) => at)) + cooldown
  throw new JitError('limit_reached', message, againAfter(until))
}

/** Whether a person said no, and it didn't lapse or end otherwise. */
function isDenial(entry: string): boolean {
  const { reason } = JSON.parse(entry) as { reason?: { code?: string } }
  return reason?.code === 'approval_denied'
}

const againAfter = (time: number) => ({ hint: `ask again after ${toTimestamp(time)}` })
