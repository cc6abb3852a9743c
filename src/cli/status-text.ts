import { escapeForDisplay } from '../lib/escape.ts'
import type { Principal } from '../protocol/principal.ts'
import { approvalTable } from './approval-text.ts'
import { ceilingLines } from './ceiling-text.ts'
import { grantTable } from './grant-text.ts'
import { untilText } from './receipt-text.ts'
import { sandboxLines } from './sandbox-text.ts'
import type { Status } from './status.ts'
import { wrapTo } from './text-width.ts'
import type { View } from './view.ts'

/** Who and where, what is live here and elsewhere, what waits: a title and a table for each that there is. */
export function statusLines(status: Status, view: View & { readonly broker: string }): string[] {
  const { principal, grants, here, sandboxes, pending, approvals, unacknowledged } = status
  const where = ({ id }: { id: string }) => (here.includes(id) ? 'here' : 'elsewhere')
  const mine = counted(pending.length, 'request of mine', 'requests of mine')
  const wanted = counted(approvals.length, 'request waits', 'requests wait')
  const broken = counted(unacknowledged.length, 'broken glass', 'broken glasses')
  return [
    ...sessionLines(status, view),
    ...(grants.length === 0
      ? ['no live grants']
      : grantTable(grants, view, { where, whose: principal })),
    ...sandboxLines(sandboxes, { ...view, grants }),
    ...section(
      `${mine}; once approved: jit exec --grant ID -- …`,
      pending.length > 0 && grantTable(pending, view, { whose: principal }),
    ),
    ...section(
      `${wanted} for me: jit approve`,
      approvals.length > 0 && approvalTable(approvals, view),
    ),
    ...section(
      `${broken} to look into: jit acknowledge`,
      unacknowledged.length > 0 && grantTable(unacknowledged, view),
    ),
  ]
}

function sessionLines(
  { principal, session_expires_at, ceiling = {} }: Status,
  { now, broker, columns }: View & { readonly broker: string },
): string[] {
  const until = untilText(session_expires_at, now)
  const who = `signed in at ${broker} as ${nameOf(principal)} ${until}`
  return [who, ...ceilingLines(ceiling)].map((line) => wrapTo(escapeForDisplay(line), columns))
}

function section(title: string, table: readonly string[] | false): string[] {
  return table ? ['', title, ...table] : []
}

function nameOf({ kind, name, owner }: Principal): string {
  return kind === 'human' ? name : `${name} (${kind}${owner === undefined ? '' : ` of ${owner}`})`
}

const counted = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`
