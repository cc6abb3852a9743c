import type { BrokerClient } from '../client/broker.ts'
import { formatDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Grant } from '../protocol/grant.ts'
import type { Sandbox } from '../protocol/sandbox.ts'
import { shellWords } from './shell-words.ts'
import { formatTable } from './table.ts'
import type { View } from './view.ts'

const HEADING = ['SANDBOX', 'AGENT', 'COMMAND', 'HOLDS', 'LEFT']
/** The command gives way first, the agent last. */
const FLEXIBLE = [2, 3, 1]

/** Sandboxes, as far as one sees them. Inside a sandbox nobody sees any. */
export async function sandboxesOf(
  client: BrokerClient,
  scope: 'mine' | 'all',
): Promise<readonly Sandbox[]> {
  return client.sandboxes(scope).catch((thrown: unknown) => {
    if (JitError.from(thrown).code === 'not_in_sandbox') return []
    throw thrown
  })
}

/** A title and a table, behind an empty line; nothing where there are none. */
export function sandboxLines(
  sandboxes: readonly Sandbox[],
  { grants, now, columns }: { grants: readonly Grant[] } & Pick<View, 'now' | 'columns'>,
): string[] {
  if (sandboxes.length === 0) return []
  const count = sandboxes.length === 1 ? '1 sandbox' : `${sandboxes.length} sandboxes`
  const rows = sandboxes.map((sandbox) => [
    sandbox.id,
    sandbox.principal.name,
    shellWords(sandbox.command.argv),
    holdingsOf(sandbox, grants),
    formatDuration((Date.parse(sandbox.expires_at) - now) / 1000),
  ])
  const cells = rows.map((row) => row.map(escapeForDisplay))
  const table = formatTable([HEADING, ...cells], { columns, flexible: FLEXIBLE })
  return ['', `${count}; stopped by: jit revoke --agent NAME`, ...table]
}

/** What its session was granted: by its id where nothing else is known of it. */
function holdingsOf({ grants: ids }: Sandbox, grants: readonly Grant[]): string {
  const held = ids.map((id) => {
    const grant = grants.find((one) => one.id === id)
    return grant ? `${grant.task} in ${grant.environment}` : id
  })
  return held.join(', ') || '-'
}
