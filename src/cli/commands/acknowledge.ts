import type { Command } from 'commander'
import type { BrokerClient } from '../../client/broker.ts'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { Grant } from '../../protocol/grant.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

export interface AcknowledgeOptions {
  readonly id?: string
  readonly json?: boolean
}

export function registerAcknowledge(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('acknowledge')
    .description('take note of a grant that broke the glass')
    .argument('[id]', 'the grant; without it, one is chosen from those that wait for you')
    .option('--json', 'print one JSON object')
    .action(async (id: string | undefined, options: { json?: boolean }) =>
      exit(await runAcknowledge({ ...options, ...(id !== undefined && { id }) }, deps)),
    )
}

/** @throws JitError `usage`, `not_found`, `denied` */
export async function runAcknowledge(
  { id, json }: AcknowledgeOptions,
  deps: Deps,
): Promise<number> {
  const { requirePerson } = await import('../agent.ts')
  requirePerson(deps.env, 'acknowledge')
  const { connect } = await import('../connect.ts')
  const { client } = await connect(deps, { tells: !json })
  const chosen = id ?? (await choose(client, deps))
  if (chosen === undefined) {
    deps.io.note('no broken glass waits for you to look into')
    return EXIT.ok
  }
  const grant = await client.acknowledge(chosen)
  if (json) deps.io.out(JSON.stringify({ grant }))
  else deps.io.note(`acknowledged ${escapeForDisplay(grant.id)}`)
  return EXIT.ok
}

async function choose(client: BrokerClient, deps: Deps): Promise<string | undefined> {
  if (!deps.io.interactive) {
    throw new JitError('usage', 'there is no terminal to choose on', {
      hint: "give the id of the grant; 'jit status' lists them",
    })
  }
  const { unacknowledged } = await client.approvals()
  if (unacknowledged.length === 0) return undefined
  return deps.prompt.select({
    message: 'Which one do you acknowledge?',
    choices: unacknowledged.map((grant) => ({ name: describe(grant), value: grant.id })),
    flag: 'the id of the grant',
  })
}

function describe({ id, principal, task, environment, context }: Grant): string {
  return escapeForDisplay(`${principal.name}: ${task} in ${environment}, ${context.reason} (${id})`)
}
