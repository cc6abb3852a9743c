import { JitError } from '../lib/errors.ts'
import { nearest } from '../lib/nearest.ts'
import type { Ceiling } from '../protocol/principal.ts'
import type { BrokerConfig } from './config/config.ts'
import type { ResolvedRequest } from './requests.ts'

type Asked = Pick<ResolvedRequest, 'task' | 'environment' | 'members'>

/**
 * What of a request is outside what its session may ask for at most, in words: `task 'deploy'`.
 * Nothing where all of it is within, or where there is no ceiling. Asked before every decision, the
 * first one, a renewal and a redemption alike, whatever policy would permit.
 */
export function outsideCeiling(request: Asked, ceiling: Ceiling | undefined): readonly string[] {
  if (ceiling === undefined) return []
  const { tasks, environments, targets } = ceiling
  const beyond = (allowed: readonly string[] | undefined, name: string) =>
    allowed !== undefined && !allowed.includes(name)
  return [
    ...(beyond(tasks, request.task) ? [`task '${request.task}'`] : []),
    ...(beyond(environments, request.environment) ? [`environment '${request.environment}'`] : []),
    ...request.members
      .filter(({ target }) => beyond(targets, target.name))
      .map(({ target }) => `target '${target.name}'`),
  ]
}

/**
 * A name that there isn't would make a session that can't do what it was given for.
 * @throws JitError `request_invalid`
 */
export function checkCeilingNames(
  { tasks = [], environments = [], targets = [] }: Ceiling,
  config: Pick<BrokerConfig, 'tasks' | 'environments' | 'targets'>,
): void {
  requireKnown('task', tasks, config.tasks)
  requireKnown('environment', environments, Object.keys(config.environments))
  requireKnown('target', targets, Object.keys(config.targets))
}

function requireKnown(what: string, names: readonly string[], known: readonly string[]): void {
  const missing = names.find((name) => !known.includes(name))
  if (missing === undefined) return
  const meant = nearest(missing, known)
  throw new JitError('request_invalid', `there is no ${what} '${missing}' here`, {
    hint: meant ? `did you mean '${meant}'?` : `there are: ${known.join(', ') || 'none'}`,
  })
}
