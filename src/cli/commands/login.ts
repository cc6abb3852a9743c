import type { Command } from 'commander'
import type { Deps } from '../deps.ts'

export interface LoginOptions {
  readonly browser?: boolean
  readonly open?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerLogin(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('login')
    .argument('[broker]', 'address of the broker (default: JIT_BROKER, config.yaml)')
    .description('sign in at a broker')
    .option('--browser', 'sign in through a browser on this machine, without a code')
    .option('--open', 'open the page to confirm at, without asking')
    .option('--yes', 'trust a broker that is new to this machine, without asking')
    .option('--json', 'print one JSON event a line')
    .action(async (broker: string | undefined, options: LoginOptions) =>
      exit(await runLogin({ ...options, ...(broker && { broker }) }, deps)),
    )
}

/** Finds the broker's identity provider, signs in there, and opens a session at the broker. */
export async function runLogin(
  options: LoginOptions & { broker?: string },
  deps: Deps,
): Promise<number> {
  const { trustedProvider } = await import('../trust.ts')
  const { signIn } = await import('../sign-in.ts')
  const { openSession } = await import('../../auth/open-session.ts')
  const { rememberBroker } = await import('../config-edit.ts')
  const broker = await chosenBroker(options.broker, deps)
  const provider = await trustedProvider(broker, { yes: options.yes ?? false, deps })
  const keystore = await deps.keystore()
  const tokens = await signIn(provider, { options, deps })
  const { clock, interrupted: signal } = deps
  const session = await openSession({ broker, provider, tokens, keystore, clock, signal })
  const current = options.broker !== undefined || !deps.env.JIT_BROKER
  await rememberBroker(deps.paths, { url: broker, issuer: provider.issuer, current })
  await announce(session, { json: options.json ?? false, deps })
  return 0
}

async function chosenBroker(argument: string | undefined, deps: Deps): Promise<string> {
  const { brokerUrl } = await import('../../auth/discovery.ts')
  if (argument !== undefined) return brokerUrl(argument)
  const { configuredBroker } = await import('../connect.ts')
  const configured = await configuredBroker(deps)
  if (configured) return configured
  const { JitError } = await import('../../lib/errors.ts')
  throw new JitError('usage', 'no broker is named', {
    hint: 'jit login https://… (or JIT_BROKER, or broker: in config.yaml)',
  })
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
  deps.io.note(
    `${deps.io.style.green('✓')} signed in at ${broker} as ${escapeForDisplay(principal.name)}`,
  )
}
