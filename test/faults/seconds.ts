import { setTimeout as wait } from 'node:timers/promises'

/** Seconds by which a machine that does much else may be late. What was meant is in the figures. */
export const LATE = 30

/** A stopwatch that runs already. @returns seconds since */
export function stopwatch(): () => number {
  const start = performance.now()
  return () => (performance.now() - start) / 1000
}

/** Resolves with the seconds it took until `holds`. @throws Error after `within` seconds */
export async function secondsUntil(
  holds: () => Promise<boolean>,
  { within, what }: { within: number; what: string },
): Promise<number> {
  const seconds = stopwatch()
  while (!(await holds())) {
    if (seconds() > within) throw new Error(`not after ${within} s: ${what}`)
    await wait(25)
  }
  return seconds()
}
