import { createLocalJWKSet, errors, type JWTVerifyGetKey } from 'jose'
import * as v from 'valibot'
import { isLoopback } from '../lib/address.ts'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { parseJson } from '../protocol/parse.ts'
import { readBounded } from './bounded-body.ts'
import { resolveReference } from './references.ts'

export interface KeysetOptions {
  readonly issuer: string
  /** Where the keys are, if not where its discovery document says: a URL, or `file:` and a path. */
  readonly location?: string
  readonly fetch: typeof fetch
  readonly clock: Clock
}

const MAX_AGE_MS = 10 * 60_000
// A token of an unknown key makes the broker ask again, but not more often than this.
const COOLDOWN_MS = 10_000
const TIMEOUT_MS = 5000
const MAX_BYTES = 512 * 1024

const Discovery = v.object({ issuer: v.string(), jwks_uri: v.pipe(v.string(), v.url()) })
const Jwk = v.looseObject({ kty: v.string(), use: v.exactOptional(v.string()) })
type Jwk = v.InferOutput<typeof Jwk>
const Keys = v.object({ keys: v.pipe(v.array(Jwk), v.maxLength(100)) })

/**
 * The signing keys of one provider, found through its discovery document (OpenID Connect Discovery
 * 1.0 section 4) unless it is said where they are, kept for ten minutes and fetched again when a token names a key that is new.
 * @throws JitError `issuer_unreachable` when they can't be had
 */
export function createKeyset(options: KeysetOptions): JWTVerifyGetKey {
  const { clock } = options
  let loaded: { readonly keys: JWTVerifyGetKey; readonly at: number } | undefined
  let loading: Promise<{ keys: JWTVerifyGetKey; at: number }> | undefined
  const load = async () => {
    loading ??= fetchKeys(options)
      .then((keys) => ({ keys, at: clock.monotonic() }))
      .finally(() => {
        loading = undefined
      })
    loaded = await loading
    return loaded
  }
  return async (header, token) => {
    const current = loaded && clock.monotonic() - loaded.at < MAX_AGE_MS ? loaded : await load()
    try {
      return await current.keys(header, token)
    } catch (error) {
      const unknown = error instanceof errors.JWKSNoMatchingKey
      if (!unknown || clock.monotonic() - current.at < COOLDOWN_MS) throw error
      return await (await load()).keys(header, token)
    }
  }
}

async function fetchKeys(options: KeysetOptions): Promise<JWTVerifyGetKey> {
  const { location = await discover(options) } = options
  const { keys } = location.startsWith('file:')
    ? readKeys(location, options)
    : await fetchJson(location, Keys, options)
  return createLocalJWKSet({ keys: keys.flatMap(forSignatures) })
}

async function discover(options: KeysetOptions): Promise<string> {
  const { issuer } = options
  const base = issuer.endsWith('/') ? issuer.slice(0, -1) : issuer
  const url = `${base}/.well-known/openid-configuration`
  const document = await fetchJson(url, Discovery, options)
  // Section 4.3: anything else could be another provider's document.
  if (document.issuer !== issuer) throw unreachable(issuer, 'its discovery names another issuer')
  if (!mayHoldKeys(document.jwks_uri, issuer)) {
    throw unreachable(issuer, 'its jwks_uri is neither https nor on loopback like the issuer')
  }
  return document.jwks_uri
}

/** Read again like any other keys, so that a file can be exchanged while the broker runs. */
function readKeys(reference: string, { issuer }: KeysetOptions) {
  try {
    const text = resolveReference(reference, { env: {}, directory: '/' })
    return parseJson(Keys, text, { what: reference })
  } catch (cause) {
    const { message } = JitError.from(cause)
    throw unreachable(issuer, `its keys can't be read: ${message}`, cause)
  }
}

/** A trust bundle says `jwt-svid` for what others call `sig` (SPIFFE Trust Domain and Bundle, 4.2.2). */
function forSignatures(key: Jwk): Jwk[] {
  if (key.use === 'jwt-svid') return [{ ...key, use: 'sig' }]
  return key.use === undefined || key.use === 'sig' ? [key] : []
}

/** Keys come over https, or by plain http from where the issuer itself is reached by plain http. */
function mayHoldKeys(location: string, issuer: string): boolean {
  const [keys, own] = [new URL(location), new URL(issuer)]
  if (keys.protocol === 'https:') return true
  if (keys.protocol !== 'http:' || own.protocol !== 'http:') return false
  return keys.host === own.host || (isLoopback(keys) && isLoopback(own))
}

async function fetchJson<T>(
  url: string,
  schema: v.GenericSchema<unknown, T>,
  { issuer, fetch }: KeysetOptions,
): Promise<T> {
  let input: unknown
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    })
    if (response.status !== 200) throw unreachable(issuer, `it answered ${response.status}`)
    input = JSON.parse(await readBounded(response, MAX_BYTES))
  } catch (cause) {
    throw cause instanceof JitError ? cause : unreachable(issuer, 'no usable answer', cause)
  }
  const result = v.safeParse(schema, input)
  if (!result.success) throw unreachable(issuer, 'its answer is not what the standard says')
  return result.output
}

function unreachable(issuer: string, problem: string, cause?: unknown): JitError {
  return new JitError('issuer_unreachable', `identity provider ${issuer}: ${problem}`, { cause })
}
