import type { ForgeAnswer } from '../policy/question.ts'
import type { ClaimedContext } from '../protocol/request.ts'
import type { ForgeConfig } from './config/config.ts'
import { type ForgeQuestion, forgeQuestion, type GitHub, githubForge } from './forge-github.ts'
import type { Log } from './log.ts'

/** Says whether what a client claims of its commit and branch is so at the forge. */
export interface Forge {
  /** Never fails: false wherever the forge can't be asked, or doesn't say. */
  check(claimed: Pick<ClaimedContext, 'repository' | 'branch' | 'commit'>): Promise<ForgeAnswer>
}

const UNVERIFIED: ForgeAnswer = { commitOnBranch: false, branchProtected: false }

/** Milliseconds that an answer is used again; a failure for less, so that it soon heals. */
const KEPT_MS = { answer: 30_000, failure: 5_000 }
const MAX_KEPT = 500
const AT_ONCE = 8

/**
 * The forge of `forge:`.
 * @throws JitError `config_invalid` when the token's reference leads nowhere
 */
export function createForge(
  config: ForgeConfig,
  parts: {
    readonly fetch: typeof fetch
    readonly resolveReference: (reference: string) => string
    readonly log: Log
  },
): Forge {
  const { url, hosts, timeout } = config
  const token = config.token === undefined ? undefined : parts.resolveReference(config.token)
  const github = githubForge({ url, fetch: parts.fetch, ...(token ? { token } : {}) })
  const gate = new Gate(AT_ONCE)
  const kept = new Kept(KEPT_MS)
  const ask = async (question: ForgeQuestion) => {
    try {
      return await inTime(github, { question, gate, milliseconds: timeout * 1000 })
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : 'unknown error'
      const { repository, branch } = question
      parts.log.warn('the forge could not verify a commit', { repository, branch, reason })
      return undefined
    }
  }
  return {
    async check(claimed) {
      const question = forgeQuestion(claimed, hosts)
      return question ? ((await kept.get(question, ask)) ?? UNVERIFIED) : UNVERIFIED
    },
  }
}

/** The wait for a place counts: a request for access must not hang on a slow forge. */
async function inTime(
  github: GitHub,
  asked: { question: ForgeQuestion; gate: Gate; milliseconds: number },
): Promise<ForgeAnswer> {
  const signal = AbortSignal.timeout(asked.milliseconds)
  await asked.gate.enter(signal)
  try {
    return await github(asked.question, signal)
  } finally {
    asked.gate.leave()
  }
}

/** Lets so many in at a time; the others wait in order. */
class Gate {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  /** @throws when `signal` is aborted first */
  async enter(signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    const giveUp = () => {
      const place = this.#waiting.indexOf(resolve)
      if (place >= 0) this.#waiting.splice(place, 1)
      reject(new Error('too many checks are under way'))
    }
    signal.addEventListener('abort', giveUp, { once: true })
    await promise.finally(() => signal.removeEventListener('abort', giveUp))
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free += 1
  }
}

type Answering = Promise<ForgeAnswer | undefined>

/** Answers of the last half minute, the oldest dropped first. */
class Kept {
  readonly #for: typeof KEPT_MS
  readonly #answers = new Map<string, { answer: Answering; until: number }>()

  constructor(milliseconds: typeof KEPT_MS) {
    this.#for = milliseconds
  }

  get(question: ForgeQuestion, ask: (question: ForgeQuestion) => Answering): Answering {
    const key = JSON.stringify([question.repository, question.branch, question.commit])
    const held = this.#answers.get(key)
    if (held && held.until > performance.now()) return held.answer
    const entry = { answer: ask(question), until: Number.POSITIVE_INFINITY }
    this.#answers.delete(key)
    this.#answers.set(key, entry)
    void entry.answer.then((answer) => {
      entry.until = performance.now() + (answer ? this.#for.answer : this.#for.failure)
    })
    const [oldest] = this.#answers.keys()
    if (this.#answers.size > MAX_KEPT && oldest !== undefined) this.#answers.delete(oldest)
    return entry.answer
  }
}
