import { JitError } from './errors.ts'

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const
const FORM = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?$/

/**
 * Reads `15m`, `1h30m`, `90s`, `2d`: whole numbers, largest unit first.
 * @returns seconds, at least 1
 * @throws JitError `usage`
 */
export function parseDuration(text: string): number {
  const match = FORM.exec(text)
  const [d = 0, h = 0, m = 0, s = 0] = match?.slice(1).map((part) => Number(part ?? 0)) ?? []
  const seconds = d * SECONDS.d + h * SECONDS.h + m * SECONDS.m + s
  if (!match || seconds < 1) {
    throw new JitError('usage', `'${text}' is not a duration`, {
      hint: 'write it like 15m, 90s, 1h or 1h30m',
    })
  }
  return seconds
}

/** `90` → `1m 30s`; the two largest units, for people. */
export function formatDuration(seconds: number): string {
  let rest = Math.max(0, Math.round(seconds))
  const parts: string[] = []
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const count = Math.floor(rest / SECONDS[unit])
    rest -= count * SECONDS[unit]
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0s'
}
