import type { Command } from 'commander'
import type { Deps } from '../deps.ts'
import { append } from '../repeated-flag.ts'

export interface LoginOptions {
  readonly browser?: boolean
  readonly open?: boolean
  readonly fresh?: boolean
  readonly acr?: readonly string[]
  readonly yes?: boolean
  readonly workload?: string | true
  readonly agent?: string
  readonly delegate?: boolean
  readonly task?: readonly string[]
  readonly env?: readonly string[]
  readonly target?: readonly string[]
  readonly ttl?: string
  readonly json?: boolean
}

export function registerLogin(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('login')
    .argument('[broker]', 'address of the broker (default: JIT_BROKER, config.yaml)')
    .description('sign in at a broker')
    .option('--browser', 'sign in through a browser on this machine, without a code')
    .option('--open', 'open the page to confirm at, without asking')
    .option('--fresh', 'sign in anew, and go on with the session that is there')
    .option('--acr <value>', 'the same, with this authentication context; may be repeated', append)
    .option('--yes', 'trust a broker that is new to this machine, without asking')
    .option(
      '--workload [source]',
      'sign the job in that this is: github, gitlab, spiffe, kubernetes, env:NAME, file:PATH',
    )
    .option('--agent <name>', 'sign a copilot in as itself, beside you')
    .option('--delegate', 'hand your session on to it, without a sign-in')
    .option('--task <task>', 'with --delegate: only this task; may be repeated', append)
    .option('--env <environment>', 'only this environment; may be repeated', append)
    .option('--target <target>', 'only this target; may be repeated', append)
    .option('--ttl <duration>', 'for how long at most, such as 1h')
    .option('--json', 'print one JSON event a line')
    .action(async (broker: string | undefined, options: LoginOptions) =>
      exit(await runLogin({ ...options, ...(broker && { broker }) }, deps)),
    )
}

/** Signs in, or hands the session that is there on to a copilot. */
export async function runLogin(
  options: LoginOptions & { broker?: string },
  deps: Deps,
): Promise<number> {
  const { actingAs, chosenAgent } = await import('../agent.ts')
  const { checkDelegation, delegate } = await import('../delegation.ts')
  const agent = chosenAgent(actingAs(deps, options.agent).env)
  checkDelegation(options, agent)
  const broker = await chosenBroker(options.broker, deps)
  if (options.workload !== undefined) await signInAsJob(broker, { options, deps })
  else if (options.delegate && agent !== undefined) await delegate(options, { broker, agent, deps })
  else await signInAt(broker, { options, agent, deps })
  return 0
}

/** Nobody is asked anything: whoever wrote the job named the broker. */
async function signInAsJob(
  broker: string,
  { options, deps }: { options: LoginOptions; deps: Deps },
): Promise<void> {
  const { signInJob } = await import('../job-login.ts')
  const { forgetAskable } = await import('../../client/askable.ts')
  const session = await signInJob(broker, { options, deps })
  forgetAskable(deps.paths)
  await announce(session, { json: options.json ?? false, deps })
  if (deps.env.JIT_BROKER) return
  deps.io.note(`  ${deps.io.style.bold(`JIT_BROKER=${broker}`)} has the next commands go there`)
}

/** Finds the broker's identity provider, signs in there, and opens a session at the broker. */
async function signInAt(
  broker: string,
  how: { options: LoginOptions & { broker?: string }; agent: string | undefined; deps: Deps },
): Promise<void> {
  const { options, agent, deps } = how
  const { forAgent } = await import('../../auth/discovery.ts')
  const { trustedProvider } = await import('../trust.ts')
  const { signIn } = await import('../sign-in.ts')
  const { openSession } = await import('../../auth/open-session.ts')
  const { signInAgain } = await import('../../auth/step-up.ts')
  const { rememberBroker } = await import('../config-edit.ts')
  const { forgetAskable } = await import('../../client/askable.ts')
  const { progressOn } = await import('../progress.ts')
  const trusted = await trustedProvider(broker, {
    yes: options.yes ?? false,
    quiet: options.json ?? false,
    deps,
  })
  const provider = agent === undefined ? trusted : forAgent(trusted, agent)
  const keystore = await deps.keystore()
  const demands = demandsOf(options)
  const tokens = await signIn(provider, { options: { ...options, demands }, deps })
  const { clock, paths, interrupted: signal } = deps
  const flow = options.browser ? 'browser' : 'device'
  const opening = { broker, agent, provider, tokens, flow, keystore, clock, signal } as const
  const again = Object.keys(demands).length > 0
  const session = await progressOn(deps, { quiet: options.json }).during(
    'opening a session',
    again ? signInAgain({ ...opening, paths }) : openSession(opening),
  )
  const current = options.broker !== undefined || !deps.env.JIT_BROKER
  forgetAskable(deps.paths)
  await rememberBroker(deps.paths, { url: broker, issuer: provider.issuer, current })
  await announce(session, { json: options.json ?? false, deps })
}

/** Either flag is for going on where policy stopped: neither is a wish for a sign-in of just any age. */
function demandsOf({ fresh = false, acr = [] }: LoginOptions) {
  return {
    ...(fresh || acr.length > 0 ? { maxAge: 0 } : {}),
    ...(acr.length > 0 ? { acrValues: acr } : {}),
  }
}

async function chosenBroker(argument: string | undefined, deps: Deps): Promise<string> {
  const { brokerUrl } = await import('../../auth/discovery.ts')
  if (argument !== undefined) return brokerUrl(argument)
  const { configuredBroker } = await import('../connect.ts')
  const configured = await configuredBroker(deps)
  if (configured) return configured
  if (deps.io.interactive) return askedBroker(brokerUrl, deps)
  const { JitError } = await import('../../lib/errors.ts')
  throw new JitError('usage', 'no broker is named', {
    hint: 'jit login https://… (or JIT_BROKER, or broker: in config.yaml)',
  })
}

/** The one thing that nobody can guess. Asked again until it is an address. */
async function askedBroker(read: (text: string) => string, { io, prompt }: Deps): Promise<string> {
  const { JitError } = await import('../../lib/errors.ts')
  for (;;) {
    const message = 'the address of your broker, such as https://jit.acme.dev:'
    const text = (await prompt.input({ message, flag: 'the address: jit login https://…' })).trim()
    try {
      return read(text)
    } catch (thrown) {
      const { message: why, hint } = JitError.from(thrown)
      io.note(hint === undefined ? why : `${why}; ${hint}`)
    }
  }
}

async function announce(
  session: import('../../auth/session.ts').StoredSession,
  { json, deps }: { json: boolean; deps: Deps },
): Promise<void> {
  const { broker, principal, session_expires_at } = session
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  const { kind } = await deps.keystore()
  if (kind === 'file' && deps.env.JIT_KEYSTORE !== 'file') {
    deps.io.note(`no OS keychain answers: the session rests in a file under ${deps.paths.data}`)
  }
  if (json) {
    deps.io.out(JSON.stringify({ event: 'signed_in', principal, broker, session_expires_at }))
    return
  }
  const { symbolsFor } = await import('../symbols.ts')
  deps.io.note(
    `${deps.io.style.green(symbolsFor(deps.env).done)} signed in at ${broker} as ${escapeForDisplay(principal.name)}`,
  )
  if (session.agent === undefined) return
  deps.io.note(`  ${deps.io.style.bold(`JIT_AGENT=${session.agent}`)} has every command act as it`)
}
