import { toTimestamp } from '../lib/clock.ts'

/** The broker's operational log: one JSON object a line. Never a secret: values are named one by one. */
export interface Log {
  info(message: string, detail?: Readonly<Record<string, unknown>>): void
  warn(message: string, detail?: Readonly<Record<string, unknown>>): void
}

/** @param write takes one line, without its end */
export function createLog(write: (line: string) => void, now: () => number): Log {
  const at =
    (level: string) =>
    (message: string, detail: Readonly<Record<string, unknown>> = {}) =>
      write(JSON.stringify({ at: toTimestamp(now()), level, message, ...detail }))
  return { info: at('info'), warn: at('warn') }
}
