import { rememberSeen } from '../../client/seen.ts'
import type { Receipt } from '../../protocol/grant.ts'
import { receiptText } from '../receipt-text.ts'
import type { Answer } from './answer.ts'
import type { Call } from './call.ts'

/**
 * Gives a grant back, or takes a request back. A command that runs on it is stopped by the broker's word.
 * @throws JitError `not_found`, `denied`
 */
export async function release({ grant }: { grant: string }, call: Call): Promise<Answer> {
  const { client, broker } = call.connection
  const outcome = await client.revoke(grant)
  if (!('leases' in outcome)) {
    return {
      lines: [`${grant}: the request is taken back`],
      data: { outcome: 'withdrawn', grant },
    }
  }
  rememberSeen(call.deps.paths.data, { broker, position: outcome.log })
  return {
    lines: [`${grant} is over`, ...receiptLines(outcome, call.deps.clock.now())],
    data: { outcome: 'released', grant, leases: leasesOf(outcome) },
  }
}

/** What became of each credential, in words. @param now milliseconds since the epoch */
export function receiptLines(receipt: Receipt, now: number): string[] {
  const { gone, remaining } = receiptText(receipt, { now })
  return [...(gone === '' ? [] : [gone]), ...remaining]
}

export function leasesOf({ leases }: Receipt) {
  return leases.map(({ target, outcome, at }) => ({ target, outcome, at }))
}
