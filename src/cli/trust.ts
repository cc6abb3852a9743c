import { chooseProvider, discoverProviders, type IdentityProvider } from '../auth/discovery.ts'
import { isLoopback } from '../lib/address.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import { configFile, readConfig } from './config.ts'
import type { Deps } from './deps.ts'

/**
 * The identity provider to sign in at for a broker. A broker new to this machine is shown with its
 * issuer and confirmed: whoever made up the address would otherwise choose who is asked for a sign-in.
 * @throws JitError `issuer_changed`, `broker_untrusted`, `broker_unreachable`, `broker_failed`
 */
export async function trustedProvider(
  broker: string,
  { yes, deps }: { yes: boolean; deps: Deps },
): Promise<IdentityProvider> {
  const { brokers } = await readConfig(deps.paths)
  const issuer = brokers?.[broker]?.issuer
  const providers = await discoverProviders(broker, deps.interrupted)
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
