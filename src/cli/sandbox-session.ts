import { createAuthorizer } from '../auth/authorizer.ts'
import { delegateSession } from '../auth/delegate.ts'
import { entryName, readSession, type SessionName } from '../auth/session.ts'
import { endAtBroker } from '../auth/sign-out.ts'
import type { Authorizer } from '../client/authorizer.ts'
import { withOneInMemory } from '../keystore/in-memory.ts'
import type { Keystore } from '../keystore/keystore.ts'
import { JitError } from '../lib/errors.ts'
import type { Ceiling } from '../protocol/principal.ts'
import type { Deps } from './deps.ts'
import { sessionStore } from './job.ts'

/** Who acts for what runs in a sandbox. */
export interface SandboxSession {
  readonly authorizer: Authorizer
  /** Whether it is the copilot's own, and goes on. */
  readonly kept: boolean
  /** Ends it where it was made for this sandbox. Never throws. */
  end(): Promise<void>
}

/** What a delegated session may be used for at most. */
export interface SandboxLimits {
  readonly ceiling: Ceiling
  /** Seconds. */
  readonly expiresIn: number | undefined
}

/**
 * The session of a sandbox: the copilot's own where it has signed in as itself, else one that the
 * person's is handed on to, whose key and token no disk sees.
 * It is there when something is asked in its name: until then nobody waits for the broker.
 * @throws JitError `usage` for limits on a copilot that has signed in itself; `keystore_failed`; its
 *   authorizer also `not_signed_in`, and what the broker answers
 */
export async function sandboxSession(
  name: SessionName & { readonly agent: string },
  limits: SandboxLimits,
  deps: Deps,
): Promise<SandboxSession> {
  const { clock, paths, env } = deps
  const stored = await readSession(await deps.keystore(), name)
  if (stored && !stored.delegated) {
    refuseLimits(name.agent, limits)
    const authorizer = createAuthorizer({ ...name, keystore: deps.keystore, clock, paths, env })
    return { authorizer, kept: true, end: async () => {} }
  }
  const persons = await sessionStore(name.broker, deps)()
  const keystore = withOneInMemory(entryName(name), persons)
  const delegated = delegateSession({
    person: { broker: name.broker, keystore, clock, paths, env },
    agent: name.agent,
    ...limits,
    signal: deps.interrupted,
  })
  // Who asks for nothing in its name isn't told that there is none.
  delegated.catch(() => {})
  const handedOn = async () => {
    await delegated
    return keystore
  }
  return {
    authorizer: createAuthorizer({ ...name, keystore: handedOn, clock, paths, env }),
    kept: false,
    end: () => endSession(name, keystore, deps),
  }
}

/** They are part of a delegation, and would be no limits at all. */
function refuseLimits(agent: string, { ceiling, expiresIn }: SandboxLimits): void {
  if (Object.keys(ceiling).length === 0 && expiresIn === undefined) return
  throw new JitError('usage', `${agent} has signed in as itself, which nothing here can limit`, {
    hint: `policies say what it may do; or jit logout --agent ${agent}, and your session is handed on`,
  })
}

/** The line's end has ended it already, unless the broker was out of reach then. */
async function endSession(name: SessionName, keystore: Keystore, { clock }: Deps): Promise<void> {
  const session = await readSession(keystore, name)
  if (session) await endAtBroker(session, clock).catch(() => {})
}
