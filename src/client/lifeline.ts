import { setTimeout as delay } from 'node:timers/promises'
import { type ErrorCode, JitError } from '../lib/errors.ts'
import { isBrokenOff } from '../lib/http.ts'
import type { EndedBy, Receipt } from '../protocol/grant.ts'
import { type ClientMessage, type CommandOutcome, ServerMessage } from '../protocol/lifeline.ts'
import { problemError } from './answer.ts'
import type { Asked, Asking, Granted, Pending } from './asking.ts'
import { backoff } from './backoff.ts'
import { Held } from './held.ts'
import { Inquiry } from './inquiry.ts'
import { keepSession } from './keep-session.ts'
import { type Line, type LineTarget, openLine } from './line.ts'

/** Why a grant is over although nobody here gave it back. */
export type Ending =
  /** Its time is over, by the broker's clock or by the one here, whichever saw it first. */
  | { readonly kind: 'deadline' }
  | { readonly kind: 'revoked'; readonly endedBy: EndedBy; readonly reason: string }
  /** The broker won't have the lifeline back. */
  | { readonly kind: 'refused'; readonly error: JitError }

/** What came of giving a grant back. */
export type Release =
  | { readonly kind: 'released'; readonly receipt: Receipt }
  /** No receipt: the broker ends the grant by itself, after its grace. */
  | { readonly kind: 'unconfirmed'; readonly reason: string }

/** Milliseconds between two looks at the session's token while a command waits or runs. */
const KEEP_SESSION_EVERY = 30_000

/** Answers to `resume` after which there is nothing left to resume. */
const FINAL: readonly ErrorCode[] = ['grant_ended', 'not_found', 'session_ended', 'denied']

/**
 * The connection that a grant lives on. Until the receipt is there, a lost connection is opened
 * again until {@link Lifeline.close}; the child goes on meanwhile.
 */
export class Lifeline {
  readonly #target: LineTarget
  readonly #ending = Promise.withResolvers<Ending>()
  readonly #release = Promise.withResolvers<Release>()
  /** Aborted by {@link Lifeline.close}. */
  readonly #closed = new AbortController()
  #line: Line<ClientMessage> | undefined
  /** Which one is held; what came with it is the caller's. */
  #grant: string | undefined
  #resumeSecret = ''
  #outcome: CommandOutcome | undefined
  #over = false
  /** Whether it is known what came of giving it back. */
  #settled = false
  #connected = false
  /** Why there is no connection at the moment. */
  #away: JitError | undefined
  /** What waits for the broker's answer to what opened the connection. */
  #waiting: PromiseWithResolvers<Asked | undefined> | undefined
  #inquiry: Inquiry | undefined
  #keeping = false
  /** What is said while the grant is held. */
  readonly held = new Held((message) => {
    if (this.#grant === undefined || !this.#line || this.#waiting) return false
    void this.#line.send(message(this.#grant))
    return true
  })

  constructor(target: LineTarget) {
    this.#target = target
  }

  /** Resolves when the broker ends the grant. The receipt comes by {@link Lifeline.release}. */
  get ending(): Promise<Ending> {
    return this.#ending.promise
  }

  /** The request that waits, while one does: nobody but the caller takes it back. */
  get pending(): Pending | undefined {
    return this.#inquiry?.pending
  }

  /**
   * Asks for a grant, and waits for what policy wants first. A connection that breaks meanwhile is
   * opened again, and the same key gets the same grant.
   * @throws JitError what the broker answers; `broker_unreachable`; the reason of `asking.signal`;
   *   what `asking.stepUp` throws
   */
  async ask(asking: Asking): Promise<Asked> {
    const { signal, opening } = asking
    const inquiry = new Inquiry(asking, {
      clock: this.#target.clock,
      send: (message) => void this.#line?.send(message),
      fail: (error) => this.#waiting?.reject(error),
    })
    this.#inquiry = inquiry
    const cancel = () => {
      this.close()
      this.#waiting?.reject(JitError.from(signal.reason))
    }
    signal.addEventListener('abort', cancel)
    try {
      for (;;) {
        signal.throwIfAborted()
        let lost: JitError | undefined
        const asked = await this.#exchange(opening).catch((thrown: unknown) => {
          lost = JitError.from(thrown)
          const met = this.#connected || isBrokenOff(lost)
          if (!met || !inquiry.mayAskAgain(lost)) throw thrown
        })
        if (asked) return asked
        const pause = backoff(inquiry.nextAttempt(lost), lost?.retryAfter ?? 0)
        await delay(pause, undefined, { signal }).catch(() => {})
      }
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  /** Says that the credentials arrived: the child may start. */
  async confirmReceived(): Promise<void> {
    await this.#send('received')
  }

  /** Says that the terminal is about to stop this process; resolves when that is on its way. */
  async suspend(): Promise<void> {
    await this.#send('suspend')
  }

  /**
   * Gives the grant back and waits for the receipt; of a grant that the broker ended, only waits.
   * @param within milliseconds
   */
  async release(
    outcome: CommandOutcome,
    { within, signal }: { within: number; signal?: AbortSignal },
  ): Promise<Release> {
    this.#outcome = outcome
    if (!this.#waiting && !this.#over) void this.#sendRelease()
    const without = (reason: string): Release => ({ kind: 'unconfirmed', reason })
    const patience = AbortSignal.any([this.#closed.signal, ...(signal ? [signal] : [])])
    return Promise.race([
      this.#release.promise,
      delay(within, undefined, { signal: patience, ref: true }).then(
        () => without(this.#away?.message ?? 'the broker did not answer in time'),
        () => without('the wait was cut short'),
      ),
    ])
  }

  /** Closes the connection for good. What wasn't released ends after the broker's grace. */
  close(): void {
    this.#closed.abort()
    this.#line?.close()
    this.#line = undefined
  }

  /** Opens a connection, sends what asks for a grant on it and waits for the answer. */
  async #exchange(message: ClientMessage): Promise<Asked | undefined> {
    this.#line?.close()
    this.#line = undefined
    this.#inquiry?.reopened()
    const waiting = Promise.withResolvers<Asked | undefined>()
    // Rejected by a loss that comes before anybody awaits it.
    waiting.promise.catch(() => {})
    this.#waiting = waiting
    try {
      const opening = openLine<ClientMessage, ServerMessage>(this.#target, {
        path: '/v1/lifeline',
        schema: ServerMessage,
        message: (received) => this.#receive(received),
        lost: (why) => this.#lose(why),
      }).then((line) => this.#adopt(line))
      const line = await Promise.race([opening, waiting.promise])
      if (line && 'send' in line) await line.send(message)
      return await waiting.promise
    } finally {
      if (this.#waiting === waiting) this.#waiting = undefined
    }
  }

  /** Takes a new connection, unless nobody wants it any more. */
  #adopt(line: Line<ClientMessage>): Line<ClientMessage> {
    this.#connected = true
    if (this.#closed.signal.aborted) line.close()
    else this.#line = line
    return line
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'requested') this.#inquiry?.requested(message)
    else if (message.type === 'pending') this.#wait(message)
    else if (message.type === 'approved') this.#inquiry?.approved(message)
    else if (message.type === 'granted') this.#handOver(message, message)
    else if (message.type === 'resumed') this.#handOver(message, undefined)
    else if (message.type === 'renewed') this.held.renewed(message.expires_at)
    else if (message.type === 'problem') this.#refuse(problemError(message.problem))
    else if (message.type === 'revoked') {
      this.#end(endingBy(message.ended_by, message.reason))
    } else if (message.type === 'released') {
      this.#settle({ kind: 'released', receipt: message.receipt })
      this.#end(endingBy(message.receipt.ended_by, ''))
    }
  }

  #wait(pending: Pending): void {
    this.#keepSession()
    this.#inquiry?.waits(pending)
  }

  #handOver(
    { resume_secret, expires_at }: Pick<Granted, 'resume_secret' | 'expires_at'>,
    granted: Granted | undefined,
  ): void {
    this.#resumeSecret = resume_secret
    this.held.lasts(expires_at)
    this.#inquiry?.answered()
    this.#keepSession()
    this.#grant ??= granted?.grant
    this.#waiting?.resolve(granted && { kind: 'granted', granted })
  }

  #keepSession(): void {
    if (this.#keeping) return
    this.#keeping = true
    const { authorizer, broker } = this.#target
    const signal = this.#closed.signal
    void keepSession({ authorizer, broker, every: KEEP_SESSION_EVERY, signal })
  }

  /** A problem answers the last message: a request or resume that waits, a renewal, the release. */
  #refuse(error: JitError): void {
    this.#inquiry?.answered()
    if (this.#waiting) this.#waiting.reject(error)
    else if (this.held.failed(error)) return
    else if (this.#outcome) this.#settle({ kind: 'unconfirmed', reason: error.message })
  }

  #lose({ error, done }: { error: JitError; done: boolean }): void {
    this.#line = undefined
    this.held.failed(error)
    // Another command has it: it isn't this one's to take back any more.
    if (error.code === 'grant_ended') this.#inquiry?.answered()
    const pending = done ? this.#inquiry?.leftToItself() : undefined
    if (pending) this.#waiting?.resolve({ kind: 'detached', pending })
    else if (this.#waiting) this.#waiting.reject(error)
    else if (done) this.#endWithoutReceipt(new JitError('grant_ended', 'the grant is over'))
    else if (this.#grant !== undefined) void this.#reconnect(this.#grant, error)
  }

  #end(ending: Ending): void {
    this.#over = true
    this.#waiting?.resolve(undefined)
    this.#ending.resolve(ending)
  }

  #endWithoutReceipt(error: JitError): void {
    this.#end({ kind: 'refused', error })
    this.#settle({ kind: 'unconfirmed', reason: error.message })
  }

  #settle(release: Release): void {
    this.#settled = true
    this.#release.resolve(release)
  }

  async #reconnect(grant: string, why: JitError): Promise<void> {
    this.#away = why
    let wait: number | undefined
    for (let attempt = 0; !this.#closed.signal.aborted && !this.#settled; attempt++) {
      await delay(backoff(attempt, wait), undefined, { ref: false })
      try {
        const secret = this.#resumeSecret
        await this.#exchange({ type: 'resume', grant, secret, received: true })
        this.#away = undefined
        if (this.#over) return
        this.held.resumed()
        if (this.#outcome) await this.#sendRelease()
        return
      } catch (thrown) {
        const error = JitError.from(thrown)
        if (FINAL.includes(error.code)) return this.#endWithoutReceipt(error)
        wait = error.retryAfter
      }
    }
  }

  async #send(type: 'received' | 'suspend'): Promise<void> {
    const grant = this.#grant
    if (grant !== undefined) await this.#line?.send({ type, grant })
  }

  async #sendRelease(): Promise<void> {
    const grant = this.#grant
    if (grant === undefined || !this.#outcome) return
    await this.#line?.send({ type: 'release', grant, outcome: this.#outcome })
  }
}

function endingBy(endedBy: EndedBy, reason: string): Ending {
  return endedBy === 'ttl' ? { kind: 'deadline' } : { kind: 'revoked', endedBy, reason }
}
