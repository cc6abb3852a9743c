import { setTimeout as wait } from 'node:timers/promises'
import { JitError } from '../../lib/errors.ts'
import type { LeaseToRevoke, RevocationOutcome } from '../target.ts'
import type { Cleaning } from './cleaning.ts'
import {
  type Closed,
  closeSql,
  dropIfIdleSql,
  freeLockSql,
  readClosed,
  roleSql,
  stripSql,
} from './closing.ts'
import { type Connection, Refusal, type Row, type Run } from './connection.ts'
import { clearLeftovers } from './leftovers.ts'
import { ownerFromComment } from './mint.ts'
import { rollBackPrepared } from './prepared.ts'
import type { Facts } from './server.ts'
import { endSessions, terminateSql } from './sessions.ts'

/** Past `mintBy` by this much (milliseconds), a role that isn't there won't come any more. */
const SETTLING_MARGIN = 2_000

const ATTEMPTS = 4
/** A step takes a few milliseconds: after this many, somebody is in the way. */
const HELD_UP_AFTER = 300

interface Revoking {
  readonly lease: LeaseToRevoke
  readonly connection: Connection
  readonly facts: Facts
  readonly signal: AbortSignal
  readonly run: Run
}

/**
 * Undoes a lease, in the order that leaves no way back: close, and drop what can be dropped at once; else take its
 * rights, end sessions, clear away, drop.
 */
export async function revokeRole(revoking: Omit<Revoking, 'run'>): Promise<RevocationOutcome> {
  const { connection, lease, signal } = revoking
  const work: Revoking = { ...revoking, run: (sql) => connection.run(sql, signal) }
  const closed = readClosed(await unhindered(work, closeSql(lease.handle, knownOids(lease))))
  const oids = roleOids(work.lease, closed)
  if (closed.oid === null) return absent(work, { closed, oids })
  if (await dropped(work, oids)) return outcomeOf(ended(closed.ended.length))
  await unhindered(work, stripSql(lease.handle, work.facts))
  const sessions = await endSessions(work.run, { oids, told: closed.ended }, signal)
  return finish(work, { oid: closed.oid, comment: closed.comment, sessions })
}

// What a lease can make us run into: a lock (55P03), a changed row (XX000, 40001), a deadlock, too many locks.
const HELD_UP = new Set(['55P03', 'XX000', '40001', '40P01', '53200'])

const isHeldUp = (error: unknown) => error instanceof Refusal && HELD_UP.has(error.sqlState)

/** Runs a step that a lease may be in the way of, and clears that away. */
async function unhindered(work: Revoking, sql: string): Promise<readonly Row[]> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await runOnce(work, sql)
    } catch (error) {
      if (!isHeldUp(error) || attempt === ATTEMPTS) throw error
      await clearWay(work)
    }
  }
}

/** Whoever holds it up is ended while it waits, so that it is the next in the queue. */
async function runOnce(work: Revoking, sql: string): Promise<readonly Row[]> {
  const running = work.run(sql)
  const done = new AbortController()
  const settled = running.then(
    () => done.abort(),
    () => done.abort(),
  )
  const held = wait(HELD_UP_AFTER, true, { signal: done.signal }).catch(() => false)
  if (await held) await Promise.all([clearWay(work), settled])
  return running
}

/** A lease may hold its own row or its lock, in a session or in a prepared transaction. */
async function clearWay(work: Revoking): Promise<void> {
  const { lease, run } = work
  const closed = readClosed(await run(roleSql(lease.handle)))
  await run(terminateSql(roleOids(lease, closed)))
  await run(freeLockSql(lease.handle))
  const { oid, comment } = closed
  if (oid !== null) await rollBackPrepared(cleaningOf(work, { oid, comment, sessions: 0 }))
}

/** The OID that the ledger knows of a lease's role. */
export function knownOids({ externalId }: LeaseToRevoke): number[] {
  return externalId !== undefined && /^\d{1,10}$/.test(externalId) ? [Number(externalId)] : []
}

/** The role by its name, and the one the ledger knows: they differ when somebody dropped it behind our back. */
function roleOids(lease: LeaseToRevoke, { oid }: Closed): number[] {
  const known = knownOids(lease)
  return [...new Set(oid === null ? known : [oid, ...known])]
}

/** Whether there was nothing in the way of dropping it. */
async function dropped({ lease, run }: Revoking, oids: readonly number[]): Promise<boolean> {
  try {
    const [row] = await run(dropIfIdleSql(lease.handle, oids))
    return row?.gone === true
  } catch (error) {
    if (isHeldUp(error)) return false
    throw error
  }
}

async function absent(
  { lease, run, signal }: Revoking,
  { closed, oids }: { closed: Closed; oids: readonly number[] },
): Promise<RevocationOutcome> {
  const mayCome = !lease.confirmed && closed.now <= lease.mintBy + SETTLING_MARGIN
  if (mayCome) return { kind: 'unsettled' }
  const looked = { oids, told: closed.ended }
  const sessions = oids.length > 0 ? await endSessions(run, looked, signal) : 0
  return { kind: 'revoked', detail: ['the role was already gone', ...ended(sessions)].join(', ') }
}

function ended(sessions: number): string[] {
  return sessions === 0 ? [] : [`sessions ended: ${sessions}`]
}

interface Closing {
  readonly oid: number
  readonly comment: string | null
  readonly sessions: number
}

/** No login, membership or session is left: what fails from here on is cleaning. */
async function finish(work: Revoking, closing: Closing): Promise<RevocationOutcome> {
  const details = ended(closing.sessions)
  try {
    const cleaning = cleaningOf(work, closing)
    const { count, kept } = await rollBackPrepared(cleaning)
    if (count > 0) details.push(`prepared transactions rolled back: ${count}`)
    if (kept.length > 0) details.push(`prepared as ${cleaning.owner}, perhaps by another: ${kept}`)
    await clearLeftovers(cleaning)
    await work.run(`DROP ROLE "${work.lease.handle}"`)
    return outcomeOf(details)
  } catch (error) {
    if (work.signal.aborted) throw error
    return outcomeOf(details, JitError.from(error).message)
  }
}

function outcomeOf(details: readonly string[], cleanup?: string): RevocationOutcome {
  return {
    kind: 'revoked',
    ...(details.length > 0 ? { detail: details.join(', ') } : {}),
    ...(cleanup === undefined ? {} : { cleanup }),
  }
}

function cleaningOf(work: Revoking, { oid, comment }: Closing): Cleaning {
  const { connection, facts, lease, run, signal } = work
  return {
    handle: lease.handle,
    oid,
    owner: ownerFromComment(comment),
    facts,
    run,
    inDatabase: (database, task) => connection.inDatabase(database, signal, task),
  }
}
