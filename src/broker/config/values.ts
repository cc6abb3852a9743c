import * as v from 'valibot'
import { parseDuration } from '../../lib/duration.ts'
import { nearest } from '../../lib/nearest.ts'

export const isMap = (input: unknown): input is Record<string, unknown> =>
  typeof input === 'object' && input !== null && !Array.isArray(input)

const AnyMap = v.custom<Record<string, unknown>>(isMap, 'expected a map')

/** What to say of a key that is unknown, and of one that is missing. */
export function keyMessage(key: string, known: readonly string[]): string {
  if (known.includes(key)) return 'expected a value: this key is required'
  const meant = nearest(key, known)
  return meant
    ? `unknown key: did you mean '${meant}'?`
    : `unknown key: expected ${known.join(', ')}`
}

/** A map with these keys and no others. */
export function map<const Entries extends v.ObjectEntries>(entries: Entries) {
  const known = Object.keys(entries)
  const message = (issue: v.StrictObjectIssue) =>
    keyMessage(String(issue.path?.at(-1)?.key ?? ''), known)
  return v.pipe(AnyMap, v.strictObject(entries, message))
}

/** A map from names to one kind of thing. */
export function mapOf<
  const Key extends v.GenericSchema<string, string>,
  const Value extends v.GenericSchema,
>(key: Key, value: Value) {
  return v.pipe(AnyMap, v.record(key, value))
}

export const list = <const Item extends v.GenericSchema>(item: Item) =>
  v.array(item, 'expected a list')

export const Text = v.pipe(
  v.string('expected text: quote what reads as a number or a boolean'),
  v.minLength(1, 'expected text'),
  v.maxLength(2048, 'expected at most 2048 characters'),
)

export const Flag = v.boolean('expected true or false')

export const Count = (max: number) => {
  const message = `expected a whole number from 1 to ${max}`
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(1, message),
    v.maxValue(max, message),
  )
}

const LONGEST_SECONDS = 604_800
const DURATION = 'expected a duration like 15m, 90s or 1h30m, at most 7d'

/** `15m` → seconds, at most a week. */
export const Duration = v.pipe(
  v.string(DURATION),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    try {
      const seconds = parseDuration(dataset.value)
      if (seconds <= LONGEST_SECONDS) return seconds
    } catch {
      // Said below, with the path.
    }
    addIssue({ message: DURATION })
    return NEVER
  }),
)

/** `env:NAME` or `file:PATH`: where a secret is, never the secret. */
export const Reference = v.pipe(
  v.string('expected a reference: env:NAME or file:PATH'),
  v.regex(
    /^(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.{1,1024})$/,
    'expected a reference, env:NAME or file:PATH, never the value itself',
  ),
)

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Whether a URL's host can only be this machine. */
export function isLoopback(url: URL): boolean {
  return LOOPBACK.has(url.hostname) || url.hostname.endsWith('.localhost')
}

const isPlainUrl = (text: string) => {
  const url = URL.parse(text)
  if (!url || url.username || url.password || url.search || url.hash) return false
  return url.protocol === 'https:' || url.protocol === 'http:'
}

const URL_EXPECTED = 'expected an http(s) URL without user, query or fragment'

/** The URL of a service, kept as it is written: issuers are compared by character. */
export const ServiceUrl = v.pipe(
  v.string(URL_EXPECTED),
  v.maxLength(1024),
  v.check(isPlainUrl, URL_EXPECTED),
)

/** Whether secrets may travel to this URL: https, or plain http that never leaves the machine. */
export function isSecure(text: string): boolean {
  const url = new URL(text)
  return url.protocol === 'https:' || isLoopback(url)
}

/** What a principal's id starts with: host and path. Two issuers that share it would share their people. */
export function issuerKey(issuer: string): string {
  const { host, pathname } = new URL(issuer)
  return `${host}${pathname.replace(/\/+$/, '')}`
}
