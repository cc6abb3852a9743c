import type { SignInDemands } from '../auth/demands.ts'
import { signInByDevice, type Verification } from '../auth/device.ts'
import type { IdentityProvider } from '../auth/discovery.ts'
import { signInByBrowser } from '../auth/loopback.ts'
import type { IdentityTokens } from '../auth/provider.ts'
import { formatDuration } from '../lib/duration.ts'
import { hasBrowser } from './browser.ts'
import type { Deps } from './deps.ts'

/** How a person signs in, and how it is shown. */
export interface SignInOptions {
  /** From a browser on this machine, without a code. */
  readonly browser?: boolean
  /** Opens the page without asking. */
  readonly open?: boolean
  readonly json?: boolean
  readonly demands?: SignInDemands
}

/**
 * Signs a person in: from any browser with a code, or with `--browser` from one on this machine.
 * @throws JitError `sign_in_denied`, `sign_in_expired`, `sign_in_failed`, `issuer_unreachable`, `cancelled`
 */
export async function signIn(
  provider: IdentityProvider,
  { options, deps }: { options: SignInOptions; deps: Deps },
): Promise<IdentityTokens> {
  return options.browser
    ? signInOnThisMachine(provider, { options, deps })
    : signInAnywhere(provider, { options, deps })
}

async function signInOnThisMachine(
  provider: IdentityProvider,
  { options, deps }: { options: SignInOptions; deps: Deps },
): Promise<IdentityTokens> {
  const onAddress = (address: URL) => {
    if (options.json) {
      deps.io.out(JSON.stringify({ event: 'authorization', authorization_uri: address.href }))
    } else {
      deps.io.note(`Sign in at ${address.href}`)
    }
    void deps.openBrowser(address)
  }
  const { demands = {} } = options
  return signInByBrowser({ provider, demands, onAddress, signal: deps.interrupted })
}

async function signInAnywhere(
  provider: IdentityProvider,
  { options, deps }: { options: SignInOptions; deps: Deps },
): Promise<IdentityTokens> {
  // Ends the question about the browser once the sign-in is decided elsewhere, and the other way round.
  const done = new AbortController()
  const question = Promise.withResolvers<never>()
  const onVerification = (verification: Verification) => {
    show(verification, { options, deps })
    offerBrowser(verification, { options, deps, signal: done.signal }).catch(question.reject)
  }
  const signal = AbortSignal.any([deps.interrupted, done.signal])
  const { demands = {} } = options
  try {
    return await Promise.race([
      signInByDevice({ provider, demands, onVerification, signal }),
      question.promise,
    ])
  } finally {
    done.abort()
  }
}

function show(
  verification: Verification,
  { options, deps }: { options: SignInOptions; deps: Deps },
): void {
  const { userCode, uri, uriComplete, expiresIn } = verification
  if (options.json) {
    const event = {
      event: 'verification',
      user_code: userCode,
      verification_uri: uri.href,
      ...(uriComplete && { verification_uri_complete: uriComplete.href }),
      expires_in: expiresIn,
    }
    deps.io.out(JSON.stringify(event))
    return
  }
  const { bold } = deps.io.style
  deps.io.note(`Open ${bold((uriComplete ?? uri).href)}`)
  deps.io.note(`and confirm the code ${bold(userCode)} (${formatDuration(expiresIn)} left)`)
}

async function offerBrowser(
  verification: Verification,
  { options, deps, signal }: { options: SignInOptions; deps: Deps; signal: AbortSignal },
): Promise<void> {
  const page = verification.uriComplete ?? verification.uri
  const open = async () => {
    if (!(await deps.openBrowser(page))) deps.io.note('no browser could be opened here')
  }
  if (options.open) return open()
  if (options.json || !deps.io.interactive || !hasBrowser(deps.env)) return
  const agreed = await deps.prompt.confirm({
    message: 'Open it in a browser here?',
    default: true,
    flag: '--open',
    signal,
  })
  if (agreed) await open()
}
