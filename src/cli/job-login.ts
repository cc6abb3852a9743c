import { readSession, type StoredSession } from '../auth/session.ts'
import { openWorkloadSession, renewWorkloadSession } from '../auth/workload.ts'
import { detectWorkload, jobOf } from '../auth/workload-source.ts'
import { JitError } from '../lib/errors.ts'
import type { LoginOptions } from './commands/login.ts'
import type { Deps } from './deps.ts'

/** Flags of `jit login` that are about somebody else's sign-in. */
const OF_OTHERS = ['browser', 'open', 'fresh', 'acr', 'yes', 'agent', 'delegate'] as const

/**
 * Signs the job that this is in, once for all its steps.
 * @param options.workload as `workloadSource` takes it; `true`: what the job's variables tell
 * @throws JitError `usage` for flags that don't go together; as {@link openWorkloadSession}
 */
export async function signInJob(
  broker: string,
  { options, deps }: { options: LoginOptions; deps: Deps },
): Promise<StoredSession> {
  const { env, clock, interrupted: signal } = deps
  const flag = OF_OTHERS.find((name) => options[name] !== undefined)
  if (flag) throw new JitError('usage', `--${flag}: with --workload no person signs in`)
  const { workload } = options
  const found = typeof workload === 'string' ? workload : detectWorkload(env)?.source
  if (found === undefined) {
    throw new JitError('usage', 'nothing here tells what kind of job this is', {
      hint: '--workload=github, gitlab, spiffe, kubernetes, env:NAME or file:PATH',
    })
  }
  const signIn = { keystore: await deps.keystore(), clock, env, signal }
  const stored = await readSession(signIn.keystore, { broker })
  const kept = stored?.workload
  // Its token may be the only one that the job has, and in use by this very session.
  if (stored && kept?.source === found && kept.job === jobOf(env)) {
    return renewWorkloadSession({ ...stored, workload: kept }, signIn)
  }
  return openWorkloadSession({ ...signIn, broker, source: found })
}
