import type { Command } from 'commander'
import type { SessionName } from '../../auth/session.ts'
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'

export interface LogoutOptions {
  readonly agent?: string
  readonly json?: boolean
}

export function registerLogout(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('logout')
    .description('end the session at the broker with all its grants, and forget it here')
    .option('--agent <name>', 'the session of this copilot, instead of your own')
    .option('--json', 'print one JSON object')
    .action(async (options: LogoutOptions) => exit(await runLogout(options, deps)))
}

/** Ends the session at broker and provider; what this machine holds of it goes in any case. */
export async function runLogout(options: LogoutOptions, given: Deps): Promise<number> {
  const { actingAs, chosenAgent } = await import('../agent.ts')
  const deps = actingAs(given, options.agent)
  const { requireBroker } = await import('../connect.ts')
  const { readSession, removeSession } = await import('../../auth/session.ts')
  const broker = await requireBroker(deps)
  const keystore = await deps.keystore()
  const name = { broker, agent: chosenAgent(deps.env) }
  const stored = await readSession(keystore, name).catch((thrown) => {
    // One that can't be read can still be forgotten.
    if (JitError.from(thrown).code !== 'keystore_failed') throw thrown
    return undefined
  })
  const { progressOn } = await import('../progress.ts')
  const progress = progressOn(deps, { quiet: options.json })
  const ending = () => progress.during('ending the session', endEverywhere(name, deps))
  const ended = stored !== undefined && (await ending())
  await removeSession(keystore, name)
  const { forgetAskable } = await import('../../client/askable.ts')
  forgetAskable(deps.paths)
  report({ ...name, known: stored !== undefined, ended }, { json: options.json ?? false, deps })
  return 0
}

async function endEverywhere(name: SessionName, deps: Deps): Promise<boolean> {
  const { currentSession } = await import('../../auth/current-session.ts')
  const { endAtBroker, endAtProvider } = await import('../../auth/sign-out.ts')
  const { clock, paths, env } = deps
  const keystore = await deps.keystore()
  // The broker takes the word of a token that is still good only, so it may have to be renewed.
  const session = await currentSession({ ...name, keystore, clock, paths, env }).catch(
    () => undefined,
  )
  if (!session) return false
  const ended = await endAtBroker(session, clock)
  await endAtProvider(session)
  return ended
}

function report(
  outcome: SessionName & { known: boolean; ended: boolean },
  { json, deps }: { json: boolean; deps: Deps },
): void {
  const { broker, agent, known, ended } = outcome
  if (json) {
    deps.io.out(JSON.stringify({ broker, signed_out: known, ended_at_broker: ended }))
    return
  }
  const who = agent === undefined ? '' : `${agent}: `
  if (!known) deps.io.note(`${who}not signed in at ${broker}`)
  else if (ended)
    deps.io.note(`${who}signed out of ${broker}; any grants of this session end with it`)
  else
    deps.io.note(`${who}forgotten here; ${broker} could not be told and ends the session by itself`)
}
