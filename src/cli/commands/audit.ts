import { type Command, Option } from 'commander'
import type { Verification } from '../../client/audit-log.ts'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import type { AuditEntry, AuditPage } from '../../protocol/audit.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'

/** Milliseconds between two looks at a log that is followed. */
const FOLLOW_EVERY = 1000

export interface AuditOptions {
  readonly verify?: boolean
  readonly follow?: boolean
  readonly export?: 'jsonl'
  readonly to?: string
  readonly cursor?: string
  readonly headers?: string
  readonly json?: boolean
}

export function registerAudit(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('audit')
    .description('print the audit log, hand it on, or check that nobody changed it')
    .option('--follow', 'go on with what is new, until interrupted')
    .option('--verify', 'recompute its chain, check its signed head and what receipts said of it')
    .addOption(new Option('--export <format>', 'hand it on, resumable').choices(['jsonl']))
    .option('--to <place>', 'with --export: a file to add to, or an https endpoint to post to')
    .option('--cursor <file>', 'with --export: where it keeps how far it got')
    .option('--headers <file>', "with --export: 'Name: value' lines to send to the endpoint")
    .option('--json', 'print one JSON entry a line; one object with --verify')
    .action(async (options: AuditOptions) => exit(await runAudit(options, deps)))
}

/** @returns 1 when `verify` finds something wrong */
export async function runAudit(options: AuditOptions, deps: Deps): Promise<number> {
  checkFlags(options)
  const { connect } = await import('../connect.ts')
  const { client, broker } = await connect(deps)
  const page = (after?: number) => client.audit(after).catch(withHint)
  if (options.export && options.to !== undefined) {
    const { exportAudit } = await import('../audit-export.ts')
    const { to } = options
    const exporting = exportAudit({ ...options, to }, { deps, broker, page })
    await (options.follow ? untilInterrupted(exporting, deps) : exporting)
    return EXIT.ok
  }
  const { readLog } = await import('../../client/audit-log.ts')
  const log = readLog(page)
  if (options.verify) {
    const { progressOn } = await import('../progress.ts')
    const verifying = verify(broker, { log, deps })
    const progress = progressOn(deps, { quiet: options.json })
    const verification = await progress.during('reading and checking the log', verifying)
    return reportVerification(verification, options, deps)
  }
  const print = options.json ? JSON.stringify : await tableOf(deps)
  let last = 0
  for await (const entry of log) {
    deps.io.out(print(entry))
    last = entry.seq
  }
  if (options.follow) await untilInterrupted(followFrom(last, { page, print, deps }), deps)
  return EXIT.ok
}

/** @throws JitError `usage` */
function checkFlags({ verify, follow, export: format, to, cursor, headers }: AuditOptions): void {
  if (verify && (follow || format)) {
    throw new JitError('usage', '--verify checks the log as it is now: it goes with --json alone', {
      hint: 'an export checks what it hands on by itself',
    })
  }
  if (format && to === undefined) {
    throw new JitError('usage', '--export: expected --to FILE or --to https://…', {
      hint: '--json prints one entry a line',
    })
  }
  if (!format && [to, cursor, headers].some((flag) => flag !== undefined)) {
    throw new JitError('usage', '--to, --cursor and --headers go with --export jsonl')
  }
}

/** To be interrupted is how what follows ends. */
async function untilInterrupted(work: Promise<void>, { interrupted }: Deps): Promise<void> {
  try {
    await work
  } catch (thrown) {
    if (!interrupted.aborted) throw thrown
  }
}

/** Prints what is new, again and again; a broker that is out of reach for a while is asked on. */
async function followFrom(
  seq: number,
  {
    page,
    print,
    deps,
  }: {
    page: (after: number) => Promise<AuditPage>
    print: (entry: AuditEntry) => string
    deps: Deps
  },
): Promise<void> {
  const { polled } = await import('../polling.ts')
  const { io, interrupted: signal } = deps
  let last = seq
  const lost = ({ message }: JitError) =>
    io.note(`jit: ${io.style.yellow('warning')}: ${escapeForDisplay(message)}`)
  for await (const { entries } of polled(() => page(last), { every: FOLLOW_EVERY, signal, lost })) {
    for (const entry of entries) io.out(print(entry))
    last = entries.at(-1)?.seq ?? last
  }
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
