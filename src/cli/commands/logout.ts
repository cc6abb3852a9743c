import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'

export interface LogoutOptions {
  readonly json?: boolean
}

export function registerLogout(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('logout')
    .description('end the session at the broker with all its grants, and forget it here')
    .option('--json', 'print one JSON object')
    .action(async (options: LogoutOptions) => exit(await runLogout(options, deps)))
}

/** Ends the session at broker and provider; what this machine holds of it goes in any case. */
export async function runLogout(options: LogoutOptions, deps: Deps): Promise<number> {
  const { requireBroker } = await import('../connect.ts')
  const { readSession, removeSession } = await import('../../auth/session.ts')
  const broker = await requireBroker(deps)
  const keystore = await deps.keystore()
  const stored = await readSession(keystore, broker).catch((thrown) => {
    // One that can't be read can still be forgotten.
    if (JitError.from(thrown).code !== 'keystore_failed') throw thrown
    return undefined
  })
  const ended = stored !== undefined && (await endEverywhere(broker, deps))
  await removeSession(keystore, broker)
  report({ broker, known: stored !== undefined, ended }, { json: options.json ?? false, deps })
  return 0
}

async function endEverywhere(broker: string, deps: Deps): Promise<boolean> {
  const { currentSession } = await import('../../auth/renewal.ts')
  const { endAtBroker, endAtProvider } = await import('../../auth/sign-out.ts')
  const { clock, paths } = deps
  const keystore = await deps.keystore()
  // The broker takes the word of a token that is still good only, so it may have to be renewed.
  const session = await currentSession({ broker, keystore, clock, paths }).catch(() => undefined)
  if (!session) return false
  const ended = await endAtBroker(session, clock)
  await endAtProvider(session)
  return ended
}

function report(
  outcome: { broker: string; known: boolean; ended: boolean },
  { json, deps }: { json: boolean; deps: Deps },
): void {
  const { broker, known, ended } = outcome
  if (json) {
    deps.io.out(JSON.stringify({ broker, signed_out: known, ended_at_broker: ended }))
    return
  }
  if (!known) deps.io.note(`not signed in at ${broker}`)
  else if (ended) deps.io.note(`signed out of ${broker}; any grants of this session end with it`)
  else deps.io.note(`forgotten here; ${broker} could not be told and ends the session by itself`)
}
