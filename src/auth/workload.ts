import type { Keystore } from '../keystore/keystore.ts'
import type { Clock } from '../lib/clock.ts'
import { JitError } from '../lib/errors.ts'
import { exchangeToken } from './exchange.ts'
import { newSessionKey, type SessionKey } from './proof.ts'
import { fieldsOf, type StoredSession, type Workload, writeSession } from './session.ts'
import { jobOf, workloadSource } from './workload-source.ts'
import { workloadToken } from './workload-token.ts'

type Environment = Readonly<Record<string, string | undefined>>

interface SignIn {
  readonly keystore: Keystore
  readonly clock: Clock
  readonly env: Environment
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens a session for the job that this process runs in, under a new key, and keeps it.
 * @param signIn.source as `workloadSource` takes it
 * @throws JitError `usage`, `not_signed_in`, `sign_in_failed` or the broker's code, `issuer_unreachable`,
 *   `broker_unreachable`, `keystore_failed`
 */
export async function openWorkloadSession(
  signIn: SignIn & { broker: string; source: string },
): Promise<StoredSession> {
  const { broker, source, env } = signIn
  const audience = env.JIT_AUDIENCE || broker
  return open(broker, { source, job: jobOf(env), audience }, signIn)
}

/**
 * Renews the session of a job with its identity token of now: a new one, where the issuer makes one.
 * One that has ended meanwhile is opened anew, because there is nobody to ask.
 * @throws JitError as {@link openWorkloadSession}
 */
export async function renewWorkloadSession(
  session: StoredSession & { workload: Workload },
  signIn: SignIn,
): Promise<StoredSession> {
  const { broker, workload, jwk } = session
  try {
    const { fields } = await exchange(broker, { workload, key: jwk }, signIn)
    const renewed = { ...session, ...fields }
    await writeSession(signIn.keystore, renewed)
    return renewed
  } catch (thrown) {
    if (JitError.from(thrown).code !== 'session_ended') throw thrown
    return open(broker, workload, signIn)
  }
}

async function open(broker: string, workload: Workload, signIn: SignIn): Promise<StoredSession> {
  const key = newSessionKey()
  const { issuer, fields } = await exchange(broker, { workload, key }, signIn)
  const session = { broker, issuer, client_id: '', workload, ...fields, jwk: key }
  await writeSession(signIn.keystore, session)
  return session
}

async function exchange(
  broker: string,
  { workload, key }: { workload: Workload; key: SessionKey },
  { env, clock, signal }: SignIn,
) {
  const source = workloadSource(workload.source)
  const { token, issuer } = await workloadToken(source, {
    ...{ env, signal },
    audience: workload.audience,
  })
  const response = await exchangeToken({
    ...{ broker, idToken: token, key, now: clock.now() },
    ...(signal ? { signal } : {}),
  })
  return { issuer, fields: fieldsOf(response, clock.now()) }
}
