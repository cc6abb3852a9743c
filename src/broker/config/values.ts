import * as v from 'valibot'
import { isLoopback, isPrivateTransport } from '../../lib/address.ts'
import { withoutTrailing } from '../../lib/without-trailing.ts'

export const Count = (max: number) => {
  const message = `expected a whole number from 1 to ${max}`
  return v.pipe(
    v.number(message),
    v.integer(message),
    v.minValue(1, message),
    v.maxValue(max, message),
  )
}

const REFERENCE = /^(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:.{1,1024})$/

/** Whether it says where something is, rather than what. */
export const isReference = (text: string): boolean => REFERENCE.test(text)

/** `env:NAME` or `file:PATH`: where a secret is, never the secret. */
export const Reference = v.pipe(
  v.string('expected a reference: env:NAME or file:PATH'),
  v.regex(REFERENCE, 'expected a reference, env:NAME or file:PATH, never the value itself'),
)

const ACR_EXPECTED = 'expected an authentication context: no spaces, quotes or backslashes'

/** One of `acr_values`, which stand side by side, and in quotes in a challenge (RFC 9470 section 3). */
export const Acr = v.pipe(
  v.string(ACR_EXPECTED),
  v.regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/, ACR_EXPECTED),
)

export const Host = v.pipe(
  v.string('expected a host name'),
  v.regex(/^[a-z0-9.-]{1,253}(?::[0-9]{1,5})?$/, 'expected a host name'),
)

/** Whether an address to listen on is one that only this machine reaches. */
export function isLoopbackHost(host: string): boolean {
  const url = URL.parse(`http://${host.includes(':') ? `[${host}]` : host}`)
  return url !== null && isLoopback(url)
}

/** Of a service: http(s), without user, query or fragment. */
export const isPlainUrl = (text: string) => {
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

/** Whether secrets may travel to this URL. */
export const isSecure = (text: string) => isPrivateTransport(new URL(text))

const HOOK_EXPECTED = 'expected an https URL, or http on loopback, or a reference to one'

/** Where a webhook is: the URL, or a reference to it where knowing it is enough to post there. */
export const HookUrl = v.union(
  [
    Reference,
    v.pipe(
      v.string(),
      v.maxLength(2048),
      v.check((text) => isHookUrl(text)),
    ),
  ],
  HOOK_EXPECTED,
)

/** Whether messages may be posted there. */
export function isHookUrl(text: string): boolean {
  const url = URL.parse(text)
  if (!url || url.username || url.password || url.hash) return false
  return isPrivateTransport(url)
}

/** What a principal's id starts with: host and path. Two issuers that share it would share their people. */
export function issuerKey(issuer: string): string {
  const { host, pathname } = new URL(issuer)
  return `${host}${withoutTrailing(pathname, '/')}`
}
