import type { Authorizer } from '../client/authorizer.ts'
import { JitError } from '../lib/errors.ts'
import type { Deps } from './deps.ts'

/** Where the link of a sandbox is found: set inside one. */
const LINK = 'JIT_SANDBOX'
/** The hash of the `.jit.yaml` that was trusted where the sandbox was started: set inside. */
const TRUSTED = 'JIT_SANDBOX_TRUSTED'
const HTTP_ON_LOOPBACK = /^http:\/\/127\.0\.0\.1:[0-9]{1,5}$/

type Environment = Deps['env']

/** Variables that say it inside. */
export function insideVariables(trusted: string | undefined): Record<string, string> {
  return trusted === undefined ? {} : { [TRUSTED]: trusted }
}

/**
 * The link, inside a sandbox: a broker that knows who asks without being told.
 * @throws JitError `usage` for anything but plain HTTP on loopback: whoever can set a variable could
 *   send what is asked elsewhere
 */
export function linkFrom(env: Environment): string | undefined {
  const link = env[LINK]
  if (!link) return undefined
  if (HTTP_ON_LOOPBACK.test(link)) return link
  throw new JitError('usage', `${LINK}: expected http://127.0.0.1 with a port`, {
    hint: "it is set inside 'jit sandbox', and nowhere else",
  })
}

/** No session and no proof: the link adds those of the session outside. */
export const unsigned: Authorizer = { headers: async () => ({}) }

/**
 * Inside a sandbox, where nobody's trust can be read: the hash that was trusted outside, `''` for none.
 * @returns nothing outside of one
 */
export function trustedInside(env: Environment): string | undefined {
  return env[LINK] ? (env[TRUSTED] ?? '') : undefined
}

/** Commands of people, of operators, and the sandbox itself. What they would reach is out of reach anyway. */
const OUTSIDE_ONLY = new Set([
  'login',
  'logout',
  'approve',
  'deny',
  'acknowledge',
  'audit',
  'trust',
  'init',
  'policy',
  'broker',
  'dev',
  'doctor',
  'sandbox',
])

/** @throws JitError `not_in_sandbox` */
export function refuseInside(command: string | undefined, env: Environment): void {
  if (command === undefined || !env[LINK] || !OUTSIDE_ONLY.has(command)) return
  throw new JitError('not_in_sandbox', `jit ${command} doesn't belong in a sandbox`, {
    hint: 'the person runs it outside; here there are jit exec, request, grants, show, status, whoami, revoke and mcp',
  })
}
