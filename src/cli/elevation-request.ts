import { readContext } from '../context/context.ts'
import type { Profile } from '../context/profile.ts'
import { trustedProfile } from '../context/trust.ts'
import { parseDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { newId } from '../lib/handle.ts'
import { parse } from '../protocol/parse.ts'
import { AUTHORIZATION_TYPE, GrantRequest } from '../protocol/request.ts'
import { resolveExecutable } from '../run/resolve.ts'
import type { ExecOptions } from './commands/exec.ts'
import type { Deps } from './deps.ts'
import { parseLabels } from './labels.ts'

/** What to ask the broker for, and how much time must be left to start at all. */
export interface ElevationRequest {
  readonly request: GrantRequest
  /** Seconds. */
  readonly minTtl: number | undefined
}

/**
 * The flags, over a trusted profile's, with the command as it will run and where it stands.
 * @throws JitError `usage`, `command_not_found`, `command_not_executable`, `profile_invalid`, `profile_untrusted`
 */
export async function elevationRequest(
  options: ExecOptions,
  deps: Deps,
): Promise<ElevationRequest> {
  const [name] = options.command
  if (name === undefined) {
    throw new JitError('usage', 'there is no command to run', {
      hint: 'give it after --, like: jit exec --env dev --task deploy -- terraform apply',
    })
  }
  const minTtl = options.minTtl === undefined ? undefined : parseDuration(options.minTtl)
  const executable = resolveExecutable(name, { path: deps.env.PATH, directory: deps.cwd })
  const { claimed, root } = await readContext(deps.cwd)
  const request = {
    key: newId(deps.clock.now()),
    details: {
      type: AUTHORIZATION_TYPE,
      ...(await task(options, { deps, root })),
      ticket: options.ticket ?? '',
      claimed,
      command: { argv: [...options.command], directory: deps.cwd, executable },
    },
  }
  return { request: parseRequest(request), minTtl }
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
async function task(
  options: ExecOptions,
  { deps, root }: { deps: Deps; root: string | undefined },
) {
  const place = { directory: deps.cwd, root, paths: deps.paths }
  const profile: Partial<Profile> =
    options.profile === undefined ? {} : await trustedProfile(options.profile, place)
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

function missing(flag: string): JitError {
  return new JitError('usage', `${flag} is missing`, {
    hint: 'give --env and --task, or the name of a profile in .jit.yaml',
  })
}
