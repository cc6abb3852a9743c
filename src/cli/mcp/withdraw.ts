import { createBrokerClient } from '../../client/broker.ts'
import type { Call } from './call.ts'

/** Milliseconds for the broker to hear of it: a client that leaves gives this server few seconds. */
const WITHIN = 1500

/**
 * Takes back a request that nobody waits for any more. On a signal of its own: what everything else
 * stops on is why this is called.
 * @throws JitError `broker_unreachable`, what the broker answers
 */
export async function withdraw(grant: string, { connection }: Call): Promise<void> {
  const { broker, authorizer } = connection
  const signal = AbortSignal.timeout(WITHIN)
  await createBrokerClient({ broker, authorizer, signal }).revoke(grant)
}
