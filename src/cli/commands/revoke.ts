import type { Command } from 'commander'
import type { BrokerClient } from '../../client/broker.ts'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Receipt, Receipts, Withdrawal } from '../../protocol/grant.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

export interface RevokeOptions {
  readonly ids: readonly string[]
  readonly mine?: boolean
  readonly all?: boolean
  readonly user?: string
  readonly agent?: string
  readonly json?: boolean
}

export function registerRevoke(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('revoke')
    .description("end grants now, take back requests that wait, stop copilots, end people's access")
    .argument('[id...]', 'the grants')
    .option('--mine', 'all of my own')
    .option('--all', "everyone's, with their sessions: all have to sign in again")
    .option(
      '--user <id-or-name>',
      "one principal's, with their sessions: they have to sign in again",
    )
    .option('--agent <name>', 'stop copilots of that name: their sessions, grants and sandboxes')
    .option('--json', 'print one JSON receipt a line; with --all, --user or --agent one object')
    .action(async (ids: string[], options: Omit<RevokeOptions, 'ids'>) =>
      exit(await runRevoke({ ...options, ids }, deps)),
    )
}

/**
 * Revokes, and says for each credential what that achieved.
 * @returns 1 when a revocation isn't confirmed yet
 * @throws JitError `usage`, `not_found`, `denied`; the grants named after a failing one are tried all the same
 */
export async function runRevoke(options: RevokeOptions, deps: Deps): Promise<number> {
  const { ids, mine, all, user, agent } = options
  const ways = [ids.length > 0, mine, all, user !== undefined, agent !== undefined]
  if (ways.filter(Boolean).length !== 1) {
    throw new JitError(
      'usage',
      'name the grants, or give one of --mine, --all, --user and --agent',
      {
        hint: "'jit grants' lists them",
      },
    )
  }
  const { connect } = await import('../connect.ts')
  const { rememberSeen } = await import('../../client/seen.ts')
  const { client, broker } = await connect(deps)
  const { progressOn } = await import('../progress.ts')
  const progress = progressOn(deps, { quiet: options.json })
  const what = ids.length > 0 ? `revoking ${ids.map(escapeForDisplay).join(', ')}` : 'revoking'
  const { revoked, offboarded, failure } = await progress.during(what, revoke(client, options))
  if (options.json && offboarded) deps.io.out(JSON.stringify(offboarded))
  else for (const one of revoked) await report(one, { json: options.json === true, deps })
  for (const one of revoked) {
    if ('log' in one) rememberSeen(deps.paths.data, { broker, position: one.log })
  }
  if (!options.json && !failure) note({ revoked, offboarded, agent }, deps)
  if (failure) throw failure
  const unsettled = (one: Outcome) =>
    'leases' in one && one.leases.some(({ outcome }) => outcome === 'retrying')
  return revoked.some(unsettled) ? EXIT.error : EXIT.ok
}

type Outcome = Receipt | Withdrawal

interface Revoked {
  readonly revoked: readonly Outcome[]
  /** The whole answer, where it was about more than one's own grants. */
  readonly offboarded?: Receipts | undefined
  readonly failure?: unknown
}

async function revoke(client: BrokerClient, options: RevokeOptions): Promise<Revoked> {
  const { ids, mine } = options
  if (ids.length === 0) {
    const answer = await client.revokeMany(filterOf(options))
    const revoked = [...answer.receipts, ...answer.withdrawn]
    return mine ? { revoked } : { revoked, offboarded: answer }
  }
  const results = await Promise.allSettled(ids.map((id) => client.revoke(id)))
  const failed = results.find((result) => result.status === 'rejected')
  return {
    revoked: results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    ...(failed ? { failure: failed.reason } : {}),
  }
}

function filterOf({ mine, user, agent }: RevokeOptions): Parameters<BrokerClient['revokeMany']>[0] {
  if (agent !== undefined) return { agent }
  return user === undefined ? { scope: mine ? 'mine' : 'all' } : { user }
}

/** What no receipt says: whose access ended, or that nothing did. */
function note(
  { revoked, offboarded, agent }: Revoked & { agent: string | undefined },
  { io }: Deps,
): void {
  if (offboarded && agent !== undefined) {
    const { sessions } = offboarded
    io.note(`ended ${sessions} session${sessions === 1 ? '' : 's'} of ${escapeForDisplay(agent)}`)
  } else if (offboarded && offboarded.cut_off.length > 0) {
    const { sessions, cut_off } = offboarded
    const who = cut_off.length === 1 ? 'one principal has' : `${cut_off.length} principals have`
    io.note(`ended ${sessions} session${sessions === 1 ? '' : 's'}: ${who} to sign in again`)
  } else if (offboarded) {
    io.note('their sessions go on: policy lets you end grants, not access')
  } else if (revoked.length === 0) {
    io.note('there was nothing to revoke')
  }
}

async function report(
  revoked: Outcome,
  { json, deps }: { json: boolean; deps: Deps },
): Promise<void> {
  if (json) {
    deps.io.out(JSON.stringify(revoked))
    return
  }
  const { receiptText } = await import('../receipt-text.ts')
  const said = () => {
    if (!('leases' in revoked)) return 'withdrawn'
    const { gone, remaining } = receiptText(revoked, { now: deps.clock.now() })
    return [gone, ...remaining].filter((part) => part !== '').join('; ') || revoked.state
  }
  deps.io.out(`${escapeForDisplay(revoked.grant)}: ${said()}`)
}
