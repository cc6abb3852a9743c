import { JitError } from '../lib/errors.ts'
import { isSettableVariable } from '../lib/variables.ts'
import type { DeliveredCredential } from '../protocol/lifeline.ts'
import { isPortVariable } from './ports/port-variables.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Names the grant to the child, and to a `jit` within it. */
export const GRANT_VARIABLE = 'JIT_GRANT'
export const EXPIRY_VARIABLE = 'JIT_GRANT_EXPIRES_AT'

interface Change extends Pick<DeliveredCredential, 'target' | 'env' | 'unset'> {
  /** Filled by a port of ours, which may send programs through itself. */
  readonly ported?: boolean
}

/**
 * The child's environment: the parent's without the variables that would compete with a credential,
 * then the credentials' own, then which grant it is and until when (RFC 3339).
 * @throws JitError `broker_failed` when a credential names a variable that no credential may touch
 */
export function childEnvironment({
  parent,
  credentials,
  grant,
}: {
  parent: Environment
  credentials: readonly Change[]
  grant: { id: string; expiresAt: string }
}): Record<string, string> {
  const child: Record<string, string> = {}
  const removed = new Set(credentials.flatMap((credential) => credential.unset))
  for (const [name, value] of Object.entries(parent)) {
    if (value !== undefined && !removed.has(name)) child[name] = value
  }
  for (const credential of credentials) {
    refuseForbidden(credential)
    Object.assign(child, credential.env)
  }
  child[GRANT_VARIABLE] = grant.id
  child[EXPIRY_VARIABLE] = grant.expiresAt
  return child
}

function refuseForbidden({ target, env, unset, ported = false }: Change): void {
  const maySet = (name: string) => isSettableVariable(name) || (ported && isPortVariable(name))
  const forbidden =
    Object.keys(env).find((name) => !maySet(name)) ??
    unset.find((name) => !isSettableVariable(name))
  if (forbidden !== undefined) {
    throw new JitError('broker_failed', `the credential of ${target} would change ${forbidden}`, {
      hint: 'a credential may not change which programs run: tell whoever runs the broker',
    })
  }
}
