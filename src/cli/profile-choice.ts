import { fitsCommand } from '../context/command-pattern.ts'
import type { Profile, ProfileFile } from '../context/profile.ts'
import { profileFileHere, type TrustingPlace } from '../context/trust.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { ClaimedContext } from '../protocol/request.ts'
import type { AskOptions } from './ask-flags.ts'
import type { Deps } from './deps.ts'
import { profileText } from './profile-text.ts'
import { shellWords } from './shell-words.ts'
import { symbolsFor } from './symbols.ts'

/** Where a profile guessed wrong would do harm, by tier: as `jit policy check` has it. */
const PRODUCTION: ReadonlySet<string> = new Set(['production', 'prod'])

/** How a profile is chosen where none is named. */
export interface Choice {
  /** `jit exec`, `jit request`: to be named in a hint. */
  readonly verb: string
  /** Nothing will be asked of anybody: production needs no yes. */
  readonly tried: boolean
  /** Don't say which one it is. */
  readonly quiet: boolean
}

interface Choosing extends Choice {
  readonly place: TrustingPlace
  readonly claimed: ClaimedContext
}

interface Named {
  readonly name: string
  readonly profile: Profile
}

/**
 * The profile whose `commands:` fit what is to run, where nothing says what to ask for. In production
 * it is never taken without a yes.
 * @throws JitError `usage` where none fits, several do and nobody can be asked, or production isn't
 *   confirmed; `cancelled`; `profile_invalid`; whatever the broker answers
 */
export async function profileFor(
  options: Pick<AskOptions, 'command'>,
  choosing: Choosing,
  deps: Deps,
): Promise<Profile> {
  const here = await profileFileHere(choosing.place)
  if (!here) throw nothingSaid("give --env and --task, or write a .jit.yaml with 'jit init'")
  if (!here.isTrusted) {
    throw nothingSaid(
      `give --env and --task; ${here.file.path} is not trusted as it is now: look at it with 'jit trust'`,
    )
  }
  const fitting = profilesFor(here.file, options.command)
  const chosen = await oneOf(fitting, { file: here.file, options, choosing }, deps)
  await confirmProduction(chosen, { options, choosing }, deps)
  if (!choosing.quiet) deps.io.note(deps.io.style.dim(`  profile ${chosen.name}, by its commands`))
  return chosen.profile
}

function profilesFor({ profiles }: ProfileFile, argv: readonly string[]): Named[] {
  return [...profiles]
    .filter(([, { commands = [] }]) => commands.some((pattern) => fitsCommand(pattern, argv)))
    .map(([name, profile]) => ({ name, profile }))
}

interface Asked {
  readonly options: Pick<AskOptions, 'command'>
  readonly choosing: Choosing
}

async function oneOf(
  fitting: readonly Named[],
  { file, options, choosing }: Asked & { file: ProfileFile },
  { io, env, prompt }: Deps,
): Promise<Named> {
  const [first, ...others] = fitting
  if (!first) {
    const names = [...file.profiles.keys()]
    const profiles = names.length > 0 ? `: ${names.join(', ')}` : ''
    throw nothingSaid(
      `give --env and --task, or a profile of ${file.path}${profiles}; none has commands: for this`,
    )
  }
  if (others.length === 0) return first
  const names = fitting.map(({ name }) => name)
  if (!io.interactive) {
    throw new JitError('usage', `several profiles are for this command: ${names.join(', ')}`, {
      hint: `name one: ${lineWith(first.name, { options, choosing })}`,
    })
  }
  const { between } = symbolsFor(env)
  const name = await prompt.select({
    message: 'several profiles are for this command',
    choices: fitting.map(({ name, profile }) => ({
      name: `${name}: ${profileText(profile, between)}`,
      value: name,
    })),
    flag: 'the name of one',
  })
  return fitting.find((one) => one.name === name) ?? first
}

/** Before anything is asked of the broker's approvers. Where nothing says which tier it is, it counts as production. */
async function confirmProduction(chosen: Named, asked: Asked, deps: Deps): Promise<void> {
  if (asked.choosing.tried) return
  const { environment } = chosen.profile
  const tier = await tierOf(environment, asked.choosing.claimed, deps)
  if (tier !== undefined && !PRODUCTION.has(tier)) return
  const what = `${chosen.name} (${profileText(chosen.profile, symbolsFor(deps.env).between)})`
  const where = tier === undefined ? `${environment}, which the broker doesn't know` : 'production'
  if (!deps.io.interactive) {
    throw new JitError('usage', `profile ${what} is for ${where}: that is never guessed`, {
      hint: `name it: ${lineWith(chosen.name, asked)}`,
    })
  }
  const agreed = await deps.prompt.confirm({
    message: `ask for ${where}, by profile ${what}?`,
    default: false,
    flag: 'the name of the profile',
    afresh: true,
  })
  if (!agreed) throw new JitError('cancelled', 'nothing was asked for')
}

/** As the broker has it now: what was known ten minutes ago is too old to guess by. */
async function tierOf(
  environment: string,
  { repository, branch, commit }: ClaimedContext,
  deps: Deps,
): Promise<string | undefined> {
  const { connect } = await import('./connect.ts')
  const { client } = await connect(deps, { tells: true })
  const question = { repository, branch, commit, environment, all: true }
  const { environments } = await client.askable(question)
  return environments.find(({ name }) => name === environment)?.tier
}

const lineWith = (profile: string, { options, choosing }: Asked) =>
  escapeForDisplay(`${choosing.verb} ${profile} -- ${shellWords(options.command)}`)

function nothingSaid(hint: string): JitError {
  return new JitError('usage', '--env is missing', { hint: escapeForDisplay(hint) })
}
