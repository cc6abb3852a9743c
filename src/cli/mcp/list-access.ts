import { escapeForDisplay } from '../../lib/escape.ts'
import type { Grant } from '../../protocol/grant.ts'
import { obligationText } from '../obligation-text.ts'
import { shellWords } from '../shell-words.ts'
import type { Answer } from './answer.ts'
import type { Call } from './call.ts'

/** This copilot's grants and requests, also those that it asked for elsewhere. */
export async function listAccess(_: object, { connection }: Call): Promise<Answer> {
  const grants = (await connection.client.grants('mine')).map(entryOf)
  const lines = grants.map(({ grant, state, task, environment, targets, command, ...rest }) => {
    const until = rest.ends_at ?? rest.lapses_at
    const words = [
      `${grant} ${state}: ${task} in ${environment} (${targets.join(', ')})`,
      `for: ${shellWords(command)}`,
      ...(rest.waits_for === undefined ? [] : [`waits for ${rest.waits_for}`]),
      ...(until === undefined ? [] : [`until ${until}`]),
    ]
    return escapeForDisplay(words.join('; '))
  })
  return {
    lines: lines.length > 0 ? lines : ['no access, and none asked for'],
    data: { outcome: 'listed', grants },
  }
}

function entryOf(grant: Grant) {
  const { id, state, environment, task, context, leases, targets = [], obligation } = grant
  return {
    grant: id,
    state,
    environment,
    task,
    targets: leases.length > 0 ? leases.map(({ target }) => target) : targets,
    command: context.command.argv,
    directory: context.command.directory,
    ...(grant.expires_at === undefined ? {} : { ends_at: grant.expires_at }),
    ...(grant.lapses_at === undefined || grant.expires_at ? {} : { lapses_at: grant.lapses_at }),
    ...(state === 'pending' && obligation ? { waits_for: obligationText(obligation) } : {}),
  }
}
