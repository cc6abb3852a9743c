import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

export interface DenyOptions {
  readonly id?: string
  readonly reason?: string
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerDeny(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('deny')
    .description('deny a request that waits for me')
    .argument('[id]', 'the request; without it, one is chosen from those that wait')
    .option('--reason <text>', 'why: the requester is told')
    .option('--yes', 'without asking; needs the id')
    .option('--json', 'print one JSON object')
    .action(async (id: string | undefined, options: Omit<DenyOptions, 'id'>) =>
      exit(await runDeny({ ...options, ...(id !== undefined && { id }) }, deps)),
    )
}

/**
 * @returns 1 when the answer was no
 * @throws JitError `usage`, `not_found`, `denied`
 */
export async function runDeny(options: DenyOptions, deps: Deps): Promise<number> {
  const { id, reason = '', yes = false, json = false } = options
  if (yes && id === undefined) throw new JitError('usage', '--yes needs the id of the request')
  const { requirePerson } = await import('../agent.ts')
  requirePerson(deps.env, 'deny')
  const { connect } = await import('../connect.ts')
  const { chosenRequest, deny } = await import('../approval.ts')
  const connection = await connect(deps, { tells: !json })
  const { client } = connection
  const request = await chosenRequest(id, { client, deps, verb: 'deny' })
  if (!request) {
    deps.io.note('nothing waits for your approval')
    return EXIT.ok
  }
  const denied = await deny(request, { connection, deps, yes, json, reason })
  if (!denied) {
    deps.io.note('not denied: it goes on waiting')
    return EXIT.error
  }
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  if (json) deps.io.out(JSON.stringify(denied))
  else deps.io.note(`denied ${escapeForDisplay(denied.subject.grant)}`)
  return EXIT.ok
}
