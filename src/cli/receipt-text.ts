import { formatDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { LeaseReceipt, Receipt } from '../protocol/grant.ts'

/** What a receipt says, in words: what is gone now, and what isn't yet. */
export interface ReceiptText {
  /** `revoked shop-db`; empty when nothing was. */
  readonly gone: string
  /** One phrase for each credential that still works, or may. */
  readonly remaining: readonly string[]
  /** Whether somebody should look: a revocation isn't confirmed. */
  readonly unsettled: boolean
}

/**
 * @param now milliseconds since the epoch
 * @param asked the targets in the order to name them in; those that aren't among them follow by name
 */
export function receiptText(
  { leases }: Receipt,
  { now, asked = [] }: { now: number; asked?: readonly string[] },
): ReceiptText {
  const place = ({ target }: LeaseReceipt) => (asked.indexOf(target) + 1 || Infinity) - 1
  const ordered = leases.toSorted(
    (a, b) => Math.sign(place(a) - place(b)) || a.target.localeCompare(b.target),
  )
  const revoked = ordered.filter(({ outcome }) => outcome === 'revoked')
  const others = ordered.filter(({ outcome }) => outcome !== 'revoked')
  return {
    gone: revoked.length > 0 ? `revoked ${revoked.map(({ target }) => target).join(', ')}` : '',
    remaining: [
      ...others.map((lease) => remainingText(lease, now)),
      ...revoked.flatMap(({ target, detail }) =>
        detail !== undefined && UNFINISHED.test(detail)
          ? [`${target}: ${escapeForDisplay(detail)}`]
          : [],
      ),
    ],
    unsettled: others.some(({ outcome }) => outcome === 'retrying'),
  }
}

/** What of a revoked credential's details a person has to know; all of them are in the receipt itself. */
const UNFINISHED = /^cleanup pending\b|\bprepared as\b/

function remainingText({ target, outcome, at, detail }: LeaseReceipt, now: number): string {
  const left = formatDuration((Date.parse(at) - now) / 1000)
  const why = detail === undefined ? '' : ` (${escapeForDisplay(detail)})`
  if (outcome === 'denied_until') return `${target}: deny set for ${left}${why}`
  if (outcome === 'expires_at') return `${target}: can't be revoked, ends in ${left}${why}`
  return `${target}: not confirmed yet, the broker keeps trying${why}`
}

/** `14:32`, with the day when it isn't today's. */
export function formatTime(timestamp: string, now: number): string {
  const at = new Date(timestamp)
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}`
  const sameDay = at.toDateString() === new Date(now).toDateString()
  return sameDay
    ? time
    : `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`
}

/** `until 14:47, for another 12m` */
export function untilText(timestamp: string, now: number): string {
  const left = formatDuration((Date.parse(timestamp) - now) / 1000)
  return `until ${formatTime(timestamp, now)}, for another ${left}`
}

const pad = (value: number): string => String(value).padStart(2, '0')
