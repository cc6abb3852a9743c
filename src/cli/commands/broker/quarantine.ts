import type { Command } from 'commander'
import { toTimestamp } from '../../../lib/clock.ts'
import { escapeForDisplay } from '../../../lib/escape.ts'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import type { Exit } from '../../program.ts'
import { type OperatorOptions, operate, takesConfig } from './operated.ts'

type QuarantineRow = import('../../../broker/store/schema.ts').QuarantineRow

interface QuarantineOptions extends OperatorOptions {
  readonly json?: boolean
}

export function registerQuarantine(broker: Command, deps: Deps, exit: Exit): void {
  takesConfig(broker.command('quarantine'))
    .description('list credentials of this ledger that it knows nothing of, and leaves alone')
    .option('--json', 'print one JSON object')
    .action(async (_: unknown, command: Command) =>
      exit(await runQuarantine(command.optsWithGlobals(), deps)),
    )
}

export async function runQuarantine(options: QuarantineOptions, deps: Deps): Promise<number> {
  const rows = await operate(options, deps, ({ quarantine }) => quarantine.open())
  if (options.json) {
    deps.io.out(JSON.stringify({ quarantine: rows.map(viewOf) }))
  } else if (rows.length === 0) {
    deps.io.note('nothing is in quarantine')
  } else {
    const { formatTable } = await import('../../table.ts')
    for (const line of formatTable([HEADINGS, ...rows.map(cellsOf)])) deps.io.out(line)
    if (rows.some(({ forked }) => forked === 1)) deps.io.note(FORKED)
  }
  return EXIT.ok
}

const HEADINGS = ['TARGET', 'HANDLE', 'MADE', 'ENDS', 'STATE']
const FORKED = 'another broker makes credentials under the name of this ledger: stop one of the two'

function cellsOf(row: QuarantineRow): string[] {
  const ends = row.deadline === null ? 'when adopted' : toTimestamp(row.deadline)
  return [row.target, row.handle, toTimestamp(row.minted_at), ends, stateOf(row)].map(
    escapeForDisplay,
  )
}

function stateOf({ adopted_at, problem, forked }: QuarantineRow): string {
  if (problem !== null) return `retrying: ${problem}`
  if (adopted_at !== null) return 'being revoked'
  return forked === 1 ? "another broker's" : 'left alone'
}

const viewOf = (row: QuarantineRow) => ({
  target: row.target,
  handle: row.handle,
  minted_at: toTimestamp(row.minted_at),
  found_at: toTimestamp(row.found_at),
  forked: row.forked === 1,
  ...(row.deadline === null ? {} : { deadline: toTimestamp(row.deadline) }),
  ...(row.adopted_at === null ? {} : { adopted_at: toTimestamp(row.adopted_at) }),
  ...(row.problem === null ? {} : { problem: row.problem }),
})
