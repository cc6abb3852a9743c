import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { compactVerify, createLocalJWKSet, type JSONWebKeySet, type JWK } from 'jose'
import * as v from 'valibot'
import { JitError } from '../lib/errors.ts'
import { send } from '../lib/http.ts'
import type { AuditEntry, AuditPage } from '../protocol/audit.ts'
import { LogPosition } from '../protocol/grant.ts'
import { parseJson } from '../protocol/parse.ts'
import { readAnswer } from './answer.ts'

const START: LogPosition = { seq: 0, hash: '0'.repeat(64) }
/** What `POST`ed nothing but text has: a broken log could make this list as long as itself. */
const MAX_PROBLEMS = 20

/** How far the clocks of a broker's nodes may be apart. */
const CLOCKS_APART_MS = 60_000

/** What checking an audit log found. */
export interface Verification {
  readonly ok: boolean
  readonly entries: number
  readonly head: LogPosition
  readonly problems: readonly string[]
}

/**
 * Recomputes a log's chain as it is read: each entry's hash, its link to the one before, no gap; then
 * the signed head and the place that this client was told of before.
 */
export class LogVerifier {
  readonly #seen: LogPosition | undefined
  readonly #problems: string[] = []
  #lastAt = ''
  #last: LogPosition
  #entries = 0

  /**
   * @param seen the furthest place that was named to this client
   * @param from where it was read to before: the next entry continues it
   */
  constructor(seen: LogPosition | undefined, from = START) {
    this.#seen = seen
    this.#last = from
  }

  /** What was found so far. */
  get problems(): readonly string[] {
    return this.#problems
  }

  add(entry: AuditEntry): void {
    const { hash, ...rest } = entry
    const { seq, prev } = rest
    this.#entries += 1
    if (seq !== this.#last.seq + 1) this.#blame(`entry ${seq} follows entry ${this.#last.seq}`)
    if (prev !== this.#last.hash) this.#blame(`entry ${seq} does not continue the one before it`)
    if (hashOf(rest) !== hash) this.#blame(`entry ${seq} was changed: its hash is another`)
    if (this.#seen?.seq === seq && this.#seen.hash !== hash) {
      this.#blame(`entry ${seq} is not the one that a receipt named: the log was exchanged`)
    }
    this.#last = { seq, hash }
    this.#lastAt = entry.at
  }

  /** @param keys the broker's public keys */
  async finish(head: AuditPage['head'], keys: JSONWebKeySet): Promise<Verification> {
    const { seq, hash, signature } = head
    if (seq !== this.#last.seq || hash !== this.#last.hash) {
      this.#blame(`the head names entry ${seq}, the log ends with entry ${this.#last.seq}`)
    }
    if (seq > 0 && !(await isSigned({ seq, hash, signature }, { keys, at: this.#lastAt }))) {
      this.#blame("the head's signature is not the broker's")
    }
    if (this.#seen && this.#seen.seq > this.#last.seq) {
      this.#blame(
        `a receipt named entry ${this.#seen.seq}, the log ends before it: it was cut short`,
      )
    }
    const problems = this.#problems
    return { ok: problems.length === 0, entries: this.#entries, head: { seq, hash }, problems }
  }

  #blame(problem: string): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(problem)
  }
}

/** SHA-256 in hex over the canonical JSON (RFC 8785); `undefined` where it has none: no broker made that. */
function hashOf(entry: Omit<AuditEntry, 'hash'>): string | undefined {
  try {
    return createHash('sha256')
      .update(String(canonicalize(entry)))
      .digest('hex')
  } catch {
    return undefined
  }
}

/** Whether a key of the broker signed it that signed when `at`, the time of its entry, was. */
async function isSigned(
  head: AuditPage['head'],
  { keys, at }: { keys: JSONWebKeySet; at: string },
): Promise<boolean> {
  try {
    const options = { algorithms: ['EdDSA', 'ES256'] }
    const { payload, protectedHeader } = await compactVerify(
      head.signature,
      createLocalJWKSet(keys),
      options,
    )
    const signed = parseJson(LogPosition, Buffer.from(payload).toString(), { what: 'head' })
    const same = signed.seq === head.seq && signed.hash === head.hash
    if (!same || protectedHeader.typ !== 'audit-head+jws') return false
    const key: (JWK & { exp?: unknown }) | undefined = keys.keys.find(
      ({ kid }) => kid === protectedHeader.kid,
    )
    // One that has signed its last may be stolen later.
    const until = typeof key?.exp === 'number' ? key.exp * 1000 : Number.POSITIVE_INFINITY
    // Nothing new was read: its entry was judged before.
    return at === '' || Date.parse(at) <= until + CLOCKS_APART_MS
  } catch {
    return false
  }
}

const Keys = v.object({ keys: v.array(v.looseObject({ kty: v.string() })) })

/**
 * The broker's public keys.
 * @param broker URL without a trailing slash
 * @throws JitError `broker_unreachable`, `broker_failed`
 */
export async function fetchKeys(broker: string, signal: AbortSignal): Promise<JSONWebKeySet> {
  const answer = await send({ method: 'GET', url: new URL(`${broker}/jwks`), signal })
  return readAnswer(Keys, answer, 'keys') as JSONWebKeySet
}

/**
 * The whole log, page by page, and the head that belongs to its last page.
 * @throws JitError `broker_failed` when pages don't advance
 */
export async function* readLog(
  page: (after?: number) => Promise<AuditPage>,
): AsyncGenerator<AuditEntry, AuditPage['head']> {
  for (let after: number | undefined; ; ) {
    const { entries, next, head } = await page(after)
    yield* entries
    if (next === undefined) return head
    if (next <= (after ?? 0)) {
      throw new JitError('broker_failed', "the broker's audit log goes in circles")
    }
    after = next
  }
}
