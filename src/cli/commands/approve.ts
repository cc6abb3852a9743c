import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

export interface ApproveOptions {
  readonly id?: string
  readonly watch?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export function registerApprove(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('approve')
    .description('approve a request that waits for me, after a look at all of it')
    .argument('[id]', 'the request; without it, one is chosen from those that wait')
    .option('--watch', 'go on and show each new request')
    .option('--yes', 'without asking; needs the id')
    .option('--json', 'print one JSON object; with --watch one a line')
    .action(async (id: string | undefined, options: Omit<ApproveOptions, 'id'>) =>
      exit(await runApprove({ ...options, ...(id !== undefined && { id }) }, deps)),
    )
}

/**
 * @returns 1 when the answer was no
 * @throws JitError `usage`, `not_found`, `denied`, `request_changed`, `insufficient_user_authentication`
 */
export async function runApprove(options: ApproveOptions, deps: Deps): Promise<number> {
  const { id, watch, yes = false, json = false } = options
  if (watch && (id !== undefined || yes)) {
    throw new JitError('usage', '--watch takes neither an id nor --yes')
  }
  if (yes && id === undefined) throw new JitError('usage', '--yes needs the id of the request')
  const { requirePerson } = await import('../agent.ts')
  requirePerson(deps.env, 'approve')
  const { connect } = await import('../connect.ts')
  // What is looked for again and again isn't waited for.
  const connection = await connect(deps, { tells: !json && !watch })
  if (watch) {
    const { watchApprovals } = await import('../approval-watch.ts')
    return watchApprovals({ connection, deps, json })
  }
  const { approve, chosenRequest, NOT_APPROVED, tellApproved } = await import('../approval.ts')
  const { client } = connection
  const request = await chosenRequest(id, { client, deps, verb: 'approve' })
  if (!request) {
    deps.io.note('nothing waits for your approval')
    return EXIT.ok
  }
  const approved = await approve(request, { connection, deps, yes, json })
  if (!approved) {
    deps.io.note(NOT_APPROVED)
    return EXIT.error
  }
  if (json) deps.io.out(JSON.stringify(approved))
  else tellApproved(approved, deps)
  return EXIT.ok
}
