import { chooseProvider, discoverProviders, type IdentityProvider } from '../auth/discovery.ts'
import { isLoopback } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { configFile, readConfig } from './config.ts'
import type { Deps } from './deps.ts'
import { progressOn } from './progress.ts'

/**
 * The identity provider to sign in at for a broker. A broker new to this machine is shown with its
 * issuer and confirmed: whoever made up the address would otherwise choose who is asked for a sign-in.
 * @param how.yes without asking; `quiet`: not even that it takes long
 * @throws JitError `issuer_changed`, `broker_untrusted`, `broker_unreachable`, `broker_failed`
 */
export async function trustedProvider(
  broker: string,
  { yes, quiet, deps }: { yes: boolean; quiet: boolean; deps: Deps },
): Promise<IdentityProvider> {
  const { brokers } = await readConfig(deps.paths)
  const issuer = brokers?.[broker]?.issuer
  const asking = discoverProviders(broker, deps.interrupted)
  const providers = await progressOn(deps, { quiet }).during('asking the broker', asking)
  const provider = chooseProvider(providers, { broker, issuer, configFile: configFile(deps.paths) })
  if (issuer !== undefined || yes || isLoopback(new URL(broker))) return provider
  deps.io.note(`${broker} is new to this machine. Its people sign in at:`)
  deps.io.note(`  ${escapeForDisplay(provider.issuer)}`)
  const agreed = await deps.prompt.confirm({
    message: 'Is that right?',
    default: false,
    flag: '--yes',
  })
  if (agreed) return provider
  throw new JitError('broker_untrusted', `${broker} was not confirmed`)
}
