import { randomInt } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { JitError } from '../../src/lib/errors.ts'
import type { Client, Holding } from './client.ts'

/** What became of the grants of a load. */
export interface LoadOutcome {
  /** Asked for, held and given back, with a receipt. */
  readonly finished: number
  /** Ended by the broker while they were held: a command would have been stopped. */
  readonly lost: readonly string[]
  /** Never granted, or given back without a receipt: how often, by the reason. */
  readonly failed: Readonly<Record<string, number>>
}

/** One grant from request to receipt; throws what went wrong. @returns why it was lost, if it was */
export type Cycle = () => Promise<string | undefined>

/** Repeats a cycle, so many at once, until it is stopped: then each is finished. */
export class Load {
  readonly #workers: Promise<void>[]
  #finished = 0
  readonly #lost: string[] = []
  readonly #failed: Record<string, number> = {}
  #stopped = false

  constructor(cycle: Cycle, atOnce: number) {
    this.#workers = Array.from({ length: atOnce }, () => this.#work(cycle))
  }

  async #work(cycle: Cycle): Promise<void> {
    while (!this.#stopped) {
      try {
        const lost = await cycle()
        if (lost === undefined) this.#finished += 1
        else this.#lost.push(lost)
      } catch (thrown) {
        const { code } = JitError.from(thrown)
        this.#failed[code] = (this.#failed[code] ?? 0) + 1
        // What refuses at once is not asked in a loop.
        await wait(100)
      }
    }
  }

  async stop(): Promise<LoadOutcome> {
    this.#stopped = true
    await Promise.all(this.#workers)
    return { finished: this.#finished, lost: this.#lost, failed: this.#failed }
  }
}

/** Holds a grant for some milliseconds, doing `meanwhile`, and gives it back. */
async function hold(
  holding: Holding,
  { milliseconds, meanwhile }: { milliseconds: number; meanwhile?: () => Promise<unknown> },
): Promise<string | undefined> {
  using _ = holding
  await wait(milliseconds)
  await meanwhile?.()
  const { ending } = holding
  if (ending?.kind === 'refused') return ending.error.code
  if (ending) return ending.kind === 'revoked' ? ending.endedBy : 'ttl'
  const receipt = await holding.release()
  if (typeof receipt === 'string') throw new JitError('broker_unreachable', receipt)
  return undefined
}

const moment = (most: number) => Math.random() * most

/** Asked for, used for a moment, given back. */
export function deploys(client: Client): Cycle {
  return async () => hold(await client.ask(), { milliseconds: moment(100) })
}

/** Seconds. Short, because only what has less than half of it left can be renewed. */
const RENEWED_TTL = 20

/** Held until it can be renewed, and renewed, by whichever broker there is by then. */
export function renewals(client: Client): Cycle {
  return async () => {
    const holding = await client.ask({ ttl: RENEWED_TTL })
    const renew = async () => {
      while (!holding.ending) {
        const renewed = await holding.lifeline.held.renew().then(
          () => true,
          () => false,
        )
        if (renewed) return
        await wait(200)
      }
    }
    const milliseconds = RENEWED_TTL * 500 + moment(500)
    return hold(holding, { milliseconds, meanwhile: renew })
  }
}

/** How many requests of those that wait for approval nobody approves: their requester takes them back. */
const UNAPPROVED = 0.25

/** Asked for in production, approved by somebody else, used for a moment, given back; or in vain. */
export function approvals({
  requesters,
  approver,
}: {
  requesters: readonly Client[]
  approver: Client
}): Cycle {
  return async () => {
    const requester = requesters[randomInt(requesters.length)] ?? approver
    const over = new AbortController()
    const inVain = Math.random() < UNAPPROVED
    const pending = (grant: string) => {
      if (inVain) setTimeout(() => over.abort(TAKEN_BACK), moment(300))
      else void approve(approver, grant, over.signal)
    }
    try {
      const holding = await requester.ask({ environment: 'prod', pending, signal: over.signal })
      return await hold(holding, { milliseconds: moment(50) })
    } catch (thrown) {
      if (thrown === TAKEN_BACK) return undefined
      throw thrown
    } finally {
      over.abort(TAKEN_BACK)
    }
  }
}

const TAKEN_BACK = new JitError('cancelled', 'nobody approved it')

/** As a person does whose first try ended with the broker: looks again, and says yes to what is shown. */
async function approve({ broker }: Client, grant: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await broker.approve(grant, (await broker.approval(grant)).hash)
      return
    } catch (thrown) {
      if (JitError.from(thrown).code === 'grant_ended') return
      await wait(50)
    }
  }
}
