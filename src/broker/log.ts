import { pino } from 'pino'
import { toTimestamp } from '../lib/clock.ts'
import { scrub } from './scrub.ts'
import { requestId } from './telemetry/request-id.ts'

/** What may stand in a line: no object, which could bring anything with it. */
type LogValue = string | number | boolean | null | undefined | readonly string[]

/** Facts beside the message, named one by one. */
export type LogDetail = Readonly<Record<string, LogValue>>

/** How much is logged: `debug` has a line for each request. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** The broker's operational log: one JSON object a line. Never a secret. */
export type Log = Readonly<Record<LogLevel, (message: string, detail?: LogDetail) => void>>

/** Whatever stands under these names is a secret, or proves one. */
const SECRET = ['authorization', 'cookie', 'dpop', 'password', 'proof', 'secret', 'token', 'undo']

/** @param write takes one line, without its end */
export function createLog(
  write: (line: string) => void,
  { now, level = 'info' }: { now: () => number; level?: LogLevel },
): Log {
  const logger = pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"at":"${toTimestamp(now())}"`,
      formatters: { level: (label) => ({ level: label }) },
      mixin: () => {
        const request = requestId()
        return request === undefined ? {} : { request }
      },
      redact: { paths: SECRET, censor: '[redacted]' },
    },
    { write: (line) => write(line.trimEnd()) },
  )
  const at =
    (name: LogLevel) =>
    (message: string, detail: LogDetail = {}) =>
      logger[name](scrubbed(detail), scrub(message))
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function scrubbed(detail: LogDetail): Record<string, LogValue> {
  return Object.fromEntries(
    Object.entries(detail).map(([name, value]) => [
      name,
      typeof value === 'string' ? scrub(value) : Array.isArray(value) ? value.map(scrub) : value,
    ]),
  )
}
