import { setTimeout as delay } from 'node:timers/promises'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import {
  type Refusal,
  type Sandbox,
  type SandboxClientMessage,
  SandboxServerMessage,
} from '../protocol/sandbox.ts'
import { problemError } from './answer.ts'
import { backoff } from './backoff.ts'
import { keepSession } from './keep-session.ts'
import { type Line, type LineTarget, openLine } from './line.ts'
import { RefusalTally } from './refusal-tally.ts'

/** Milliseconds between two looks at the session's token while the sandbox runs. */
const KEEP_SESSION_EVERY = 30_000
/** Milliseconds that what was refused is gathered for before it is told. */
const TELL_AFTER = 1000
/** Milliseconds that `close` waits for the broker's word. */
const CLOSE_WITHIN = 2000

/** Answers to `reopen` after which there is no sandbox left to keep. */
const FINAL: readonly ErrorCode[] = [
  'grant_ended',
  'not_found',
  'not_signed_in',
  'session_ended',
  'denied',
]

/** What a sandbox is opened with. */
export type SandboxOpening = Omit<Extract<SandboxClientMessage, { type: 'open' }>, 'type'>

/** A sandbox that the broker knows of, for as long as its command runs. */
export interface SandboxLine {
  /** As the broker answered: what it may reach, and when it ends at the latest. */
  readonly sandbox: Sandbox
  /** Resolves once, when everything in it has to stop: the broker's word, or the end of its time. */
  readonly ended: Promise<{ reason: string }>
  /** Records what it tried to reach and may not. */
  refused(refusals: readonly Refusal[]): void
  /** Says that the command ended, and waits for the broker's word for 2 s at most. Never throws. */
  close(): Promise<void>
}

/**
 * Opens a sandbox at the broker, with the agent's session. A connection that is lost is opened again
 * until the sandbox has ended or {@link SandboxLine.close}; what runs in it goes on meanwhile.
 * @param asked.open its profile, command and the domains that it wants to reach
 * @param asked.signal gives the opening up, and later the line, without a word to the broker
 * @throws JitError what the broker answers: `denied` for anybody but an agent, `limit_reached`,
 *   `session_ended`; `broker_unreachable`; the reason of `signal`; what the authorizer throws
 */
export async function openSandboxLine({
  open,
  signal,
  ...target
}: LineTarget & { open: SandboxOpening; signal: AbortSignal }): Promise<SandboxLine> {
  signal.throwIfAborted()
  const line = new KeptLine(target)
  const give = () => line.drop(JitError.from(signal.reason))
  signal.addEventListener('abort', give, { once: true })
  await line.open(open)
  return line
}

class KeptLine implements SandboxLine {
  readonly #target: LineTarget
  readonly #ended = Promise.withResolvers<{ reason: string }>()
  readonly #closed = new AbortController()
  /** Resolves when the broker has said that nothing will follow, or nobody waits for that any more. */
  readonly #done = Promise.withResolvers<void>()
  readonly #tally = new RefusalTally()
  #line: Line<SandboxClientMessage> | undefined
  #sandbox: Sandbox | undefined
  /** What waits for the answer to `open` or `reopen`. */
  #waiting: PromiseWithResolvers<Sandbox> | undefined
  #closing = false
  #telling: NodeJS.Timeout | undefined

  constructor(target: LineTarget) {
    this.#target = target
  }

  get sandbox(): Sandbox {
    if (!this.#sandbox) throw new JitError('internal', 'the sandbox is not open yet')
    return this.#sandbox
  }

  get ended(): Promise<{ reason: string }> {
    return this.#ended.promise
  }

  async open(opening: SandboxOpening): Promise<void> {
    try {
      const sandbox = await this.#exchange({ type: 'open', ...opening })
      // Policy takes away from what the person's profile names; no broker adds to it.
      const domains = sandbox.domains.filter((domain) => opening.domains.includes(domain))
      this.#sandbox = { ...sandbox, domains }
    } catch (thrown) {
      this.drop()
      throw thrown
    }
    const { authorizer, broker, clock } = this.#target
    const { signal } = this.#closed
    void keepSession({ authorizer, broker, every: KEEP_SESSION_EVERY, signal })
    const left = Date.parse(this.#sandbox.expires_at) - clock.now()
    void delay(Math.max(0, left), undefined, { signal, ref: false }).then(
      () => this.#end('the time of its session is over'),
      () => {},
    )
  }

  refused(refusals: readonly Refusal[]): void {
    this.#tally.add(refusals)
    this.#telling ??= setTimeout(() => this.#tell(), TELL_AFTER).unref()
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#tell()
    if (this.#line && !this.#waiting) void this.#line.send({ type: 'close' })
    const { signal } = this.#closed
    await Promise.race([
      this.#done.promise,
      delay(CLOSE_WITHIN, undefined, { signal, ref: true }).catch(() => {}),
    ])
    this.drop()
  }

  /** Lets go of the connection for good. */
  drop(reason = new JitError('cancelled', 'the sandbox was closed')): void {
    this.#closed.abort()
    clearTimeout(this.#telling)
    this.#line?.close()
    this.#line = undefined
    this.#waiting?.reject(reason)
    this.#done.resolve()
  }

  #tell(): void {
    clearTimeout(this.#telling)
    this.#telling = undefined
    // What isn't told now is told on the next connection.
    if (!this.#line || this.#waiting) return
    for (const refusals of this.#tally.take()) void this.#line.send({ type: 'refusals', refusals })
  }

  /** Opens a connection, sends what begins it and waits for `opened`. */
  async #exchange(message: SandboxClientMessage): Promise<Sandbox> {
    this.#line?.close()
    this.#line = undefined
    const waiting = Promise.withResolvers<Sandbox>()
    // Rejected by a loss that comes before anybody awaits it.
    waiting.promise.catch(() => {})
    this.#waiting = waiting
    try {
      const opening = openLine<SandboxClientMessage, SandboxServerMessage>(this.#target, {
        path: '/v1/sandbox',
        schema: SandboxServerMessage,
        message: (received) => this.#receive(received),
        lost: (why) => this.#lose(why),
      }).then((line) => this.#adopt(line))
      const line = await Promise.race([opening, waiting.promise])
      if ('send' in line) await line.send(message)
      return await waiting.promise
    } finally {
      if (this.#waiting === waiting) this.#waiting = undefined
    }
  }

  /** Takes a new connection, unless nobody wants it any more. */
  #adopt(line: Line<SandboxClientMessage>): Line<SandboxClientMessage> {
    if (this.#closed.signal.aborted) line.close()
    else this.#line = line
    return line
  }

  #receive(message: SandboxServerMessage): void {
    if (message.type === 'opened') this.#waiting?.resolve(message.sandbox)
    else if (message.type === 'problem') this.#waiting?.reject(problemError(message.problem))
    else this.#end(message.reason)
  }

  #lose({ error, done }: { error: JitError; done: boolean }): void {
    this.#line = undefined
    if (done) this.#done.resolve()
    if (this.#waiting) this.#waiting.reject(error)
    else if (done || FINAL.includes(error.code)) this.#end('the broker has ended it')
    else void this.#reconnect()
  }

  #end(reason: string): void {
    this.#ended.resolve({ reason })
    this.#waiting?.reject(new JitError('session_ended', reason))
    this.#closed.abort()
  }

  async #reconnect(): Promise<void> {
    const { id } = this.sandbox
    let wait: number | undefined
    for (let attempt = 0; !this.#closed.signal.aborted; attempt++) {
      await delay(backoff(attempt, wait), undefined, { ref: false })
      try {
        if (this.#closed.signal.aborted) return
        await this.#exchange({ type: 'reopen', sandbox: id })
        if (this.#closing) void this.#line?.send({ type: 'close' })
        else this.#tell()
        return
      } catch (thrown) {
        const error = JitError.from(thrown)
        if (FINAL.includes(error.code)) return this.#end(error.message)
        wait = error.retryAfter
      }
    }
  }
}
