import { createAuthorizer } from '../auth/authorizer.ts'
import { brokerUrl } from '../auth/discovery.ts'
import type { Authorizer } from '../client/authorizer.ts'
import { type BrokerClient, createBrokerClient } from '../client/broker.ts'
import { JitError } from '../lib/errors.ts'
import { chosenAgent } from './agent.ts'
import type { Deps } from './deps.ts'
import { linkFrom, unsigned } from './inside.ts'
import { sessionStore } from './job.ts'
import { progressOn } from './progress.ts'

/** A broker as a command reaches it, in the name of whoever is signed in. */
export interface Connection {
  /** URL without a trailing slash. */
  readonly broker: string
  readonly authorizer: Authorizer
  readonly client: BrokerClient
}

/**
 * The broker that commands go to: inside a sandbox its link; `JIT_BROKER`, else `broker` of `config.yaml`.
 * @throws JitError `usage`, `config_invalid`
 */
export async function configuredBroker(
  deps: Pick<Deps, 'env' | 'paths'>,
): Promise<string | undefined> {
  const link = linkFrom(deps.env)
  if (link !== undefined) return link
  if (deps.env.JIT_BROKER) return brokerFrom('JIT_BROKER', deps.env.JIT_BROKER)
  const { configFile, readConfig } = await import('./config.ts')
  const { broker } = await readConfig(deps.paths)
  return broker === undefined ? undefined : brokerFrom(configFile(deps.paths), broker)
}

/** @param source where the address was read: nobody typed it just now */
function brokerFrom(source: string, text: string): string {
  try {
    return brokerUrl(text)
  } catch (thrown) {
    const { code, message, hint } = JitError.from(thrown)
    throw new JitError(code, `${source}: ${message}`, {
      ...(hint === undefined ? {} : { hint }),
      cause: thrown,
    })
  }
}

/**
 * Where a command that needs a session goes. Nothing is sent yet.
 * @throws JitError `not_signed_in` where no broker is known, `usage`, `config_invalid`
 */
export async function requireBroker(deps: Deps): Promise<string> {
  const broker = await configuredBroker(deps)
  if (broker) return broker
  throw new JitError('not_signed_in', 'not signed in at any broker', {
    hint: 'jit login https://… (the address of your broker)',
  })
}

/**
 * The broker with the session there: the person's, that of the copilot `JIT_AGENT`, in a job the
 * job's own; inside a sandbox none, which the link adds. A session that is missing shows at the first request.
 * @param options.tells whether each question that takes long says so
 * @throws JitError as {@link requireBroker}
 */
export async function connect(deps: Deps, { tells = false } = {}): Promise<Connection> {
  const broker = await requireBroker(deps)
  const { env, clock, paths, interrupted: signal } = deps
  const progress = progressOn(deps, { quiet: !tells })
  const during = <T>(question: Promise<T>) => progress.during('asking the broker', question)
  if (linkFrom(env) !== undefined) {
    const client = createBrokerClient({ broker, authorizer: unsigned, signal, during })
    return { broker, authorizer: unsigned, client }
  }
  const agent = chosenAgent(env)
  const keystore = agent === undefined ? sessionStore(broker, deps) : deps.keystore
  const authorizer = createAuthorizer({ broker, agent, keystore, clock, paths, env })
  const client = createBrokerClient({ broker, authorizer, signal, during })
  return { broker, authorizer, client }
}
