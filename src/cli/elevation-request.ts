import type { Opening } from '../client/asking.ts'
import { readContext } from '../context/context.ts'
import type { Profile } from '../context/profile.ts'
import { trustedProfile } from '../context/trust.ts'
import { parseDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import { parse } from '../protocol/parse.ts'
import { AUTHORIZATION_TYPE, type ClaimedContext, GrantRequest } from '../protocol/request.ts'
import { resolveExecutable } from '../run/resolve.ts'
import type { AskOptions } from './ask-flags.ts'
import type { Deps } from './deps.ts'
import { trustedInside } from './inside.ts'
import { parseLabels } from './labels.ts'
import type { Choice } from './profile-choice.ts'

type Redemption = Extract<Opening, { type: 'redeem' }>

/**
 * What to ask the broker for: the flags, over a trusted profile's, with the command as it will run and
 * where it stands.
 * @param choice where there may be no name of a profile: it is found by the command
 * @throws JitError `usage`, `command_not_found`, `command_not_executable`, `profile_invalid`, `profile_untrusted`;
 *   while a profile is chosen also what the broker answers, and `cancelled`
 */
export async function grantRequest(
  options: AskOptions,
  deps: Deps,
  choice?: Choice,
): Promise<GrantRequest> {
  const { claimed, root, command } = await standing(options.command, deps)
  if (options.breakGlass && !options.reason) {
    throw new JitError('usage', '--break-glass needs --reason', {
      hint: 'say what the emergency is: approvers are told',
    })
  }
  return parseRequest({
    key: newId(deps.clock.now()),
    details: {
      type: AUTHORIZATION_TYPE,
      ...(await task(options, { deps, root, claimed, choice })),
      break_glass: options.breakGlass === true,
      ticket: options.ticket ?? '',
      ...(options.deliver === undefined ? {} : { delivery: options.deliver }),
      claimed,
      command,
    },
  })
}

/** What a request that was made before has said already. */
const BEFORE: readonly [keyof AskOptions, string][] = [
  ['profile', 'a profile'],
  ['env', '--env'],
  ['task', '--task'],
  ['target', '--target'],
  ['ttl', '--ttl'],
  ['reason', '--reason'],
  ['ticket', '--ticket'],
  ['label', '--label'],
  ['breakGlass', '--break-glass'],
  ['deliver', '--deliver'],
]

/**
 * Uses a request that was made before, for the command it was made for.
 * @throws JitError `usage` for a flag that the request has answered; `command_not_found`, `command_not_executable`
 */
export async function redemption(
  grant: string,
  options: AskOptions,
  deps: Deps,
): Promise<Redemption> {
  const [, flag] = BEFORE.find(([name]) => options[name] !== undefined) ?? []
  if (flag) {
    throw new JitError('usage', `${flag} can't be given beside --grant`, {
      hint: 'what is asked for was said when the request was made',
    })
  }
  const { claimed, command } = await standing(options.command, deps)
  return { type: 'redeem', grant, claimed, command }
}

/** The command as it will run, and where. */
async function standing(words: readonly string[], { env, cwd }: Deps) {
  const [name] = words
  if (name === undefined) {
    throw new JitError('usage', 'there is no command to run', {
      hint: 'give it after --, like: jit exec --env dev --task deploy -- terraform apply',
    })
  }
  const executable = resolveExecutable(name, { path: env.PATH, directory: cwd })
  const { claimed, root } = await readContext(cwd)
  return { claimed, root, command: { argv: [...words], directory: cwd, executable } }
}

/** The flag behind each part of a request. */
const FLAGS: Readonly<Record<string, string>> = {
  environment: '--env',
  task: '--task',
  targets: '--target',
  ttl: '--ttl',
  reason: '--reason',
  ticket: '--ticket',
  labels: '--label',
  delivery: '--deliver',
}

function parseRequest(request: unknown): GrantRequest {
  try {
    return parse(GrantRequest, request, { what: 'request', code: 'usage' })
  } catch (thrown) {
    const error = JitError.from(thrown)
    const [, part = '', name = '', rest] =
      /^request: details\.(\w+)(?:\.([^:]*))?: (.*)$/s.exec(error.message) ?? []
    const flag = FLAGS[part]
    if (flag === undefined) throw error
    const where = part === 'labels' ? `${flag} ${name}` : flag
    throw new JitError('usage', `${where}: ${rest}`, { cause: error })
  }
}

/** What a profile may name, too: each flag takes the place of its word. */
async function task(options: AskOptions, standing: Standing) {
  const profile = await profileOf(options, standing)
  const environment = options.env ?? profile.environment
  const task = options.task ?? profile.task
  if (environment === undefined) throw missing('--env')
  if (task === undefined) throw missing('--task')
  const ttl = options.ttl === undefined ? profile.ttl : parseDuration(options.ttl)
  return {
    environment,
    task,
    targets: [...(options.target ?? profile.targets ?? [])],
    ...(ttl === undefined ? {} : { ttl }),
    reason: options.reason ?? profile.reason ?? '',
    labels: { ...profile.labels, ...parseLabels(options.label ?? []) },
  }
}

interface Standing {
  readonly deps: Deps
  readonly root: string | undefined
  readonly claimed: ClaimedContext
  readonly choice: Choice | undefined
}

/** The one that is named; where nothing is, the one that is for the command. */
async function profileOf(
  { profile, env, task, command }: AskOptions,
  { deps, root, claimed, choice }: Standing,
): Promise<Partial<Profile>> {
  const trusted = trustedInside(deps.env)
  const place = { directory: deps.cwd, root, paths: deps.paths, trusted }
  if (profile !== undefined) return trustedProfile(profile, place)
  if (choice === undefined || env !== undefined || task !== undefined) return {}
  const { profileFor } = await import('./profile-choice.ts')
  return profileFor({ command }, { ...choice, place, claimed }, deps)
}

function missing(flag: string): JitError {
  return new JitError('usage', `${flag} is missing`, {
    hint: 'give --env and --task, or the name of a profile in .jit.yaml',
  })
}
