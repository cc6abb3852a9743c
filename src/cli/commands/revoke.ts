import type { Command } from 'commander'
import type { BrokerClient } from '../../client/broker.ts'
import { JitError } from '../../lib/errors.ts'
import type { Receipt, Withdrawal } from '../../protocol/grant.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

export interface RevokeOptions {
  readonly ids: readonly string[]
  readonly mine?: boolean
  readonly all?: boolean
  readonly user?: string
  readonly json?: boolean
}

export function registerRevoke(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('revoke')
    .description('end grants now, and take back requests that wait')
    .argument('[id...]', 'the grants')
    .option('--mine', 'all of my own')
    .option('--all', "everyone's")
    .option('--user <id-or-name>', "one principal's, by id or name")
    .option('--json', 'print one JSON receipt a line')
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
  const ways = [options.ids.length > 0, options.mine, options.all, options.user !== undefined]
  if (ways.filter(Boolean).length !== 1) {
    throw new JitError('usage', 'name the grants, or give one of --mine, --all and --user', {
      hint: "'jit grants' lists them",
    })
  }
  const { connect } = await import('../connect.ts')
  const { rememberSeen } = await import('../../client/seen.ts')
  const { client, broker } = await connect(deps)
  const { revoked, failure } = await revoke(client, options)
  for (const one of revoked) {
    await report(one, { json: options.json === true, deps })
    if ('log' in one) rememberSeen(deps.paths.data, { broker, position: one.log })
  }
  if (revoked.length === 0 && !failure && !options.json) deps.io.note('there was nothing to revoke')
  if (failure) throw failure
  const unsettled = (one: Receipt | Withdrawal) =>
    'leases' in one && one.leases.some(({ outcome }) => outcome === 'retrying')
  return revoked.some(unsettled) ? EXIT.error : EXIT.ok
}

async function revoke(
  client: BrokerClient,
  options: RevokeOptions,
): Promise<{ revoked: readonly (Receipt | Withdrawal)[]; failure?: unknown }> {
  if (options.user !== undefined) {
    return { revoked: await client.revokeMany({ user: options.user }) }
  }
  if (options.ids.length === 0) {
    return { revoked: await client.revokeMany({ scope: options.all ? 'all' : 'mine' }) }
  }
  const results = await Promise.allSettled(options.ids.map((id) => client.revoke(id)))
  const failed = results.find((result) => result.status === 'rejected')
  return {
    revoked: results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
    ...(failed ? { failure: failed.reason } : {}),
  }
}

async function report(
  revoked: Receipt | Withdrawal,
  { json, deps }: { json: boolean; deps: Deps },
): Promise<void> {
  if (json) {
    deps.io.out(JSON.stringify(revoked))
    return
  }
  const { receiptText } = await import('../receipt-text.ts')
  const { escapeForDisplay } = await import('../../lib/escape.ts')
  const said = () => {
    if (!('leases' in revoked)) return 'withdrawn'
    const { gone, remaining } = receiptText(revoked, { now: deps.clock.now() })
    return [gone, ...remaining].filter((part) => part !== '').join('; ') || revoked.state
  }
  deps.io.out(`${escapeForDisplay(revoked.grant)}: ${said()}`)
}
