import { stepUp as signInAgain } from '../auth/step-up.ts'
import { formatDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { SignInObligation } from '../protocol/obligation.ts'
import { chosenAgent } from './agent.ts'
import type { Deps } from './deps.ts'
import { signIn } from './sign-in.ts'
import { symbolsFor } from './symbols.ts'
import { isAutomated } from './terminal.ts'

/**
 * Signs the person in once more because policy wants it, and says so. The session stays the same:
 * whatever the process holds of it goes on.
 * @param options.nonce what the sign-in is for, where the flow carries it
 * @throws JitError `insufficient_user_authentication` where nobody is there to confirm, naming the
 *   command that does it by hand; otherwise what the sign-in throws
 */
export async function stepUp(options: {
  broker: string
  signIn: SignInObligation
  nonce?: string
  deps: Deps
}): Promise<void> {
  const { broker, signIn: wanted, deps } = options
  const { io, clock, paths, interrupted: signal } = deps
  const agent = chosenAgent(deps.env)
  const symbols = symbolsFor(deps.env)
  const session = await signInAgain({
    source: { broker, agent, keystore: await deps.keystore(), clock, paths },
    signIn: wanted,
    ...(options.nonce === undefined ? {} : { nonce: options.nonce }),
    authenticate: async ({ provider, flow, demands, name }) => {
      const why = escapeForDisplay(`policy wants ${inWords(wanted)}`)
      if (!io.interactive || isAutomated(deps.env)) throw unattended(why, { wanted, agent })
      io.note(`${io.style.yellow(symbols.attention)} ${why}`)
      io.note(`Sign in again as ${escapeForDisplay(name)}`)
      return signIn(provider, { options: { browser: flow === 'browser', demands }, deps })
    },
    signal,
  })
  const name = escapeForDisplay(session.principal.name)
  io.note(`${io.style.green(symbols.done)} signed in again as ${name}`)
}

function unattended(
  why: string,
  { wanted, agent }: { wanted: SignInObligation; agent: string | undefined },
): JitError {
  const stronger = wanted.acr_values.map((acr) => `--acr ${escapeForDisplay(acr)}`)
  const flags = stronger.length > 0 ? stronger : ['--fresh']
  const who = agent === undefined ? [] : [`--agent ${agent}`]
  return new JitError('insufficient_user_authentication', why, {
    hint: `${['jit login', ...who, ...flags].join(' ')}, then run this again`,
    signIn: wanted,
  })
}

function inWords({ max_age, acr_values }: SignInObligation): string {
  const age = max_age > 0 ? ` of the last ${formatDuration(max_age)}` : ' of right now'
  return `a sign-in${age}${acr_values.length > 0 ? `, with ${acr_values.join(' or ')}` : ''}`
}
