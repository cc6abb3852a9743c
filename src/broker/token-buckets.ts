const MINUTE_MS = 60_000

/** Keys that are told apart; each takes about 150 bytes. */
const MOST_KEYS = 50_000
/** How often those that have filled up again are looked for, in milliseconds: it takes a few to look. */
const SWEEP_MS = 1000
/** What all further keys share, so that nobody gets around a limit by coming from everywhere. */
const REST = '*'

interface Bucket {
  tokens: number
  /** When it had so many. */
  at: number
}

/** How often each of many may do something: as often at once as in a minute, and evenly after that. */
export class TokenBuckets {
  readonly #perMinute: number
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()
  #swept = Number.NEGATIVE_INFINITY

  /** @param now milliseconds that never go back */
  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute
    this.#now = now
  }

  /** Takes one. @returns 0, or the seconds until there is one to take */
  take(key: string): number {
    const bucket = this.#fill(this.#buckets.get(key) ?? this.#add(key))
    if (bucket.tokens < 1) {
      return Math.ceil(((1 - bucket.tokens) * MINUTE_MS) / this.#perMinute / 1000)
    }
    bucket.tokens -= 1
    return 0
  }

  /** Gives one back. */
  give(key: string): void {
    const bucket = this.#buckets.get(key) ?? this.#buckets.get(REST)
    if (!bucket) return
    bucket.tokens += 1
    if (this.#fill(bucket).tokens >= this.#perMinute) this.#buckets.delete(key)
  }

  #add(key: string): Bucket {
    this.#sweep()
    const own = this.#buckets.size < MOST_KEYS ? key : REST
    const bucket = this.#buckets.get(own) ?? { tokens: this.#perMinute, at: this.#now() }
    this.#buckets.set(own, bucket)
    return bucket
  }

  #fill(bucket: Bucket): Bucket {
    const now = this.#now()
    const since = ((now - bucket.at) * this.#perMinute) / MINUTE_MS
    bucket.tokens = Math.min(this.#perMinute, bucket.tokens + since)
    bucket.at = now
    return bucket
  }

  /** A bucket that is full is as good as none. */
  #sweep(): void {
    if (this.#buckets.size < MOST_KEYS || this.#now() - this.#swept < SWEEP_MS) return
    this.#swept = this.#now()
    for (const [key, bucket] of this.#buckets) {
      if (this.#fill(bucket).tokens >= this.#perMinute) this.#buckets.delete(key)
    }
  }
}
