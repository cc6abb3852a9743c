import { randomUUID } from 'node:crypto'
import { createAuthorizer } from '../../src/auth/authorizer.ts'
import type { Granted } from '../../src/client/asking.ts'
import type { Authorizer } from '../../src/client/authorizer.ts'
import { type BrokerClient, createBrokerClient } from '../../src/client/broker.ts'
import { type Ending, Lifeline } from '../../src/client/lifeline.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import type { Receipt } from '../../src/protocol/grant.ts'
import { AUTHORIZATION_TYPE, type GrantRequest } from '../../src/protocol/request.ts'
import type { Home } from '../run/home.ts'

/** Milliseconds: a broker that was killed has to come back within them. */
const RELEASE_WITHIN = 30_000

export interface Wish {
  readonly environment?: 'dev' | 'prod'
  readonly target?: string
  /** Seconds. */
  readonly ttl?: number
  /** Told the id of a request that waits for approval. */
  readonly pending?: (grant: string) => void
  readonly signal?: AbortSignal
}

/** `jit exec` without its command, many of them in the test's process: the real session and lifeline. */
export class Client {
  readonly authorizer: Authorizer
  readonly broker: BrokerClient
  readonly url: string

  /** @param home of somebody who is signed in */
  constructor(home: Home) {
    const { env } = home
    const paths = pathsFrom(env)
    this.url = env.JIT_BROKER ?? ''
    this.authorizer = createAuthorizer({
      broker: this.url,
      agent: undefined,
      keystore: () => openKeystore({ env, paths }),
      clock: systemClock,
      paths,
    })
    this.broker = createBrokerClient({ broker: this.url, authorizer: this.authorizer })
  }

  /** Asks, waits for what policy wants, and confirms that the credentials arrived. @throws JitError */
  async ask({ pending, signal, ...wish }: Wish = {}): Promise<Holding> {
    const { authorizer } = this
    const lifeline = new Lifeline({ broker: this.url, authorizer, clock: systemClock })
    try {
      const asked = await lifeline.ask({
        opening: { type: 'request', key: randomUUID(), details: detailsOf(wish) },
        detach: false,
        events: {
          requested() {},
          pending: ({ grant }) => pending?.(grant),
          approved() {},
          lost() {},
        },
        stepUp: () => Promise.reject(new Error('nobody is there to sign in again')),
        signal: signal ?? new AbortController().signal,
      })
      if (asked.kind === 'detached') throw new Error('it was not to be detached')
      await lifeline.confirmReceived()
      return new Holding(lifeline, asked.granted)
    } catch (thrown) {
      lifeline.close()
      throw thrown
    }
  }
}

/** A grant that is held, by somebody who gives it back or dies. */
export class Holding implements Disposable {
  readonly lifeline: Lifeline
  readonly granted: Granted
  /** Why the broker ended it, once it has. */
  ending: Ending | undefined

  constructor(lifeline: Lifeline, granted: Granted) {
    this.lifeline = lifeline
    this.granted = granted
    void lifeline.ending.then((ending) => {
      this.ending ??= ending
    })
  }

  /** The role at `dev-db` or `prod-db`. */
  get role(): string {
    return this.granted.credentials[0]?.handle ?? ''
  }

  /** What the target is signed in at with. */
  get url(): string {
    return this.granted.credentials[0]?.env.PG_CONN_STR ?? ''
  }

  /** Gives it back, as the command's end does. @returns the receipt, or why there is none */
  async release(): Promise<Receipt | string> {
    const outcome = { code: 0, signal: null }
    const release = await this.lifeline.release(outcome, { within: RELEASE_WITHIN })
    this.lifeline.close()
    return release.kind === 'released' ? release.receipt : release.reason
  }

  /** Vanishes without a word, as by `kill -9`. */
  vanish(): void {
    this.lifeline.close()
  }

  [Symbol.dispose](): void {
    this.lifeline.close()
  }
}

export function detailsOf({
  environment = 'dev',
  target = `${environment}-db`,
  ttl,
}: Wish): GrantRequest['details'] {
  return {
    type: AUTHORIZATION_TYPE,
    environment,
    task: 'deploy',
    targets: [target],
    ...(ttl === undefined ? {} : { ttl }),
    break_glass: false,
    reason: 'a fault is tried',
    ticket: '',
    labels: {},
    claimed: { repository: '', branch: '', commit: '', dirty: false },
    command: { argv: ['true'], directory: '/', executable: '/usr/bin/true' },
  }
}
