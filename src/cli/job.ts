import { readSession } from '../auth/session.ts'
import { type DetectedWorkload, detectWorkload, jobOf } from '../auth/workload-source.ts'
import type { Keystore } from '../keystore/keystore.ts'
import { memoryKeystore } from '../keystore/memory.ts'
import { JitError } from '../lib/errors.ts'
import type { Deps } from './deps.ts'

/**
 * Where the session of a command rests. In a job of GitHub or GitLab, or where `JIT_WORKLOAD` says
 * so, that is the job's own, in memory unless `jit login --workload` has kept one of the same job:
 * whoever signed in on the runner before has nothing to do with it.
 */
export function sessionStore(broker: string, deps: Deps): () => Promise<Keystore> {
  const workload = detectWorkload(deps.env)
  if (!workload) return deps.keystore
  let chosen: Promise<Keystore> | undefined
  return () => {
    chosen ??= choose(broker, { workload, deps })
    return chosen
  }
}

async function choose(
  broker: string,
  { workload, deps }: { workload: DetectedWorkload; deps: Deps },
): Promise<Keystore> {
  const keystore = await deps.keystore()
  const stored = await readSession(keystore, { broker })
  const ofJob = stored?.workload?.job === jobOf(deps.env)
  if (stored && (ofJob || !workload.sure)) return keystore
  return openInMemory(broker, { source: workload.source, deps })
}

/** Nobody is asked whether the broker can be trusted: so it has to be named for this job. */
async function openInMemory(
  broker: string,
  { source, deps }: { source: string; deps: Deps },
): Promise<Keystore> {
  const { env, clock, interrupted: signal } = deps
  if (!env.JIT_BROKER) {
    throw new JitError('usage', 'a job has to say which broker is to know it', {
      hint: 'set JIT_BROKER=https://…',
    })
  }
  const { openWorkloadSession } = await import('../auth/workload.ts')
  const keystore = memoryKeystore()
  await openWorkloadSession({ broker, source, keystore, clock, env, signal })
  deps.atExit.add(() => endIn(keystore, { broker, deps }))
  return keystore
}

/** Nobody can renew it after this process, and its token may be what the next step signs in with. */
async function endIn(
  keystore: Keystore,
  { broker, deps }: { broker: string; deps: Deps },
): Promise<void> {
  const session = await readSession(keystore, { broker })
  if (!session) return
  const { endAtBroker } = await import('../auth/sign-out.ts')
  await endAtBroker(session, deps.clock)
}
