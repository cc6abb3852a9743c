import type { Command } from 'commander'
import type { Verification } from '../../client/audit-log.ts'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { AuditEntry } from '../../protocol/audit.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

export interface AuditOptions {
  readonly verify?: boolean
  readonly json?: boolean
}

export function registerAudit(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('audit')
    .description('print the audit log, or check that nobody changed it')
    .option('--verify', 'recompute its chain, check its signed head and what receipts said of it')
    .option('--json', 'print one JSON entry a line; one object with --verify')
    .action(async (options: AuditOptions) => exit(await runAudit(options, deps)))
}

/** @returns 1 when `verify` finds something wrong */
export async function runAudit(options: AuditOptions, deps: Deps): Promise<number> {
  const { connect } = await import('../connect.ts')
  const { readLog } = await import('../../client/audit-log.ts')
  const { client, broker } = await connect(deps)
  const log = readLog((after) => client.audit(after).catch(withHint))
  if (options.verify) {
    const { progressOn } = await import('../progress.ts')
    const verifying = verify(broker, { log, deps })
    const progress = progressOn(deps, { quiet: options.json })
    const verification = await progress.during('reading and checking the log', verifying)
    return reportVerification(verification, options, deps)
  }
  const print = options.json ? JSON.stringify : await tableOf(deps)
  for await (const entry of log) deps.io.out(print(entry))
  return EXIT.ok
}

async function tableOf({ io }: Deps): Promise<(entry: AuditEntry) => string> {
  const { AuditTable } = await import('../audit-text.ts')
  const table = new AuditTable()
  let begun = false
  return (entry) => {
    if (!begun) io.out(table.heading())
    begun = true
    return table.line(entry)
  }
}

function withHint(thrown: unknown): never {
  const error = JitError.from(thrown)
  if (error.code !== 'denied' || error.hint !== undefined) throw error
  throw new JitError('denied', error.message, {
    hint: 'policies say who may, by Action::"audit"; \'jit whoami\' says who you are',
    cause: error,
  })
}

async function verify(
  broker: string,
  {
    log,
    deps,
  }: { log: ReturnType<typeof import('../../client/audit-log.ts').readLog>; deps: Deps },
): Promise<Verification> {
  const { LogVerifier, fetchKeys } = await import('../../client/audit-log.ts')
  const { lastSeen, rememberSeen } = await import('../../client/seen.ts')
  const { data } = deps.paths
  const keys = await fetchKeys(broker, deps.interrupted)
  const verifier = new LogVerifier(lastSeen(data, broker))
  let read = await log.next()
  for (; !read.done; read = await log.next()) verifier.add(read.value)
  const verification = await verifier.finish(read.value, keys)
  if (verification.ok) rememberSeen(data, { broker, position: verification.head })
  return verification
}

function reportVerification(
  verification: Verification,
  { json }: AuditOptions,
  { io }: Deps,
): number {
  const { ok, entries, head, problems } = verification
  if (json) io.out(JSON.stringify(verification))
  else if (ok) io.out(`the log is whole: ${entries} entries, head ${head.seq} ${head.hash}`)
  else for (const problem of problems) io.out(escapeForDisplay(problem))
  return ok ? EXIT.ok : EXIT.error
}
