import { createAuthorizer } from '../auth/authorizer.ts'
import { createProof } from '../auth/proof.ts'
import { readSession } from '../auth/session.ts'
import type { Authorizer } from '../client/authorizer.ts'
import { type BrokerClient, createBrokerClient } from '../client/broker.ts'
import { JitError } from '../lib/errors.ts'
import { chosenAgent } from './agent.ts'
import { configuredBroker } from './connect.ts'
import type { Deps } from './deps.ts'
import { linkFrom, unsigned } from './inside.ts'

/** Something to choose. */
export interface Candidate {
  readonly value: string
  readonly about: string
}

/** What a completion is made from. */
export interface Completing extends Pick<Deps, 'env' | 'cwd' | 'clock' | 'paths' | 'keystore'> {
  /** Of the command line, before the cursor and without `jit`, as they were typed. */
  readonly words: readonly string[]
  /** Aborts when nothing more is to be waited for. */
  readonly signal: AbortSignal
}

/** Of the word that follows a flag, or of what follows its `=`: the last one counts. */
export function given(words: readonly string[], flag: string): string | undefined {
  const index = words.findLastIndex((word) => word === flag || word.startsWith(`${flag}=`))
  const word = words[index]
  return word === flag ? words[index + 1] : word?.slice(flag.length + 1)
}

/** The broker with the session as it rests; nothing where no broker is known. */
export async function restingClient(from: Completing): Promise<BrokerClient | undefined> {
  return clientWith(from, (broker) => restingAuthorizer(broker, from))
}

/** The same with a session that is renewed first if it must: for who has the time. */
export async function renewingClient(from: Completing): Promise<BrokerClient | undefined> {
  const agent = chosenAgent(from.env)
  return clientWith(from, (broker) => createAuthorizer({ ...from, broker, agent }))
}

async function clientWith(
  from: Completing,
  authorizerFor: (broker: string) => Authorizer,
): Promise<BrokerClient | undefined> {
  const broker = await configuredBroker(from)
  if (broker === undefined) return undefined
  const inside = linkFrom(from.env) !== undefined
  const authorizer = inside ? unsigned : authorizerFor(broker)
  return createBrokerClient({ broker, authorizer, signal: from.signal })
}

/**
 * Signs with a token that is there, and never renews it: this process may end in the middle, and a
 * renewal that nobody wrote down ends the sign-in (RFC 9700 section 4.14).
 */
function restingAuthorizer(broker: string, { env, clock, keystore }: Completing): Authorizer {
  return {
    async headers(request) {
      const session = await readSession(await keystore(), { broker, agent: chosenAgent(env) })
      if (!session || session.access_token_expires_at <= clock.now()) {
        throw new JitError('token_invalid', 'the session would have to be renewed first')
      }
      const { access_token: accessToken, jwk } = session
      const proof = createProof(jwk, { ...request, accessToken, now: clock.now() })
      return { authorization: `DPoP ${accessToken}`, dpop: proof }
    },
  }
}

/** The same, or nothing once the patience has ended or where it fails. */
export async function soon<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const late = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  return Promise.race([work.catch(() => undefined), late])
}
