import { Lifeline } from '../client/lifeline.ts'
import { rememberSeen } from '../client/seen.ts'
import { runElevated } from '../run/elevated.ts'
import { exitLike } from '../run/signals.ts'
import type { ExecOptions } from './commands/exec.ts'
import { connect } from './connect.ts'
import type { Deps } from './deps.ts'
import { elevationReport } from './elevation-report.ts'
import { elevationRequest } from './elevation-request.ts'
import { openReceiptFile } from './receipt-file.ts'

/** What `jit exec` does. Its parts are loaded at once: each load on its own costs a millisecond. */
export async function elevate(options: ExecOptions, deps: Deps): Promise<number> {
  const { request, minTtl } = await elevationRequest(options, deps)
  const { broker, authorizer } = await connect(deps)
  const writeReceipt = openReceiptFile(options.receipt, deps.cwd)
  const quiet = Boolean(options.quiet || options.json)
  const report = elevationReport(deps, { details: request.details, quiet })
  const finished = await runElevated({
    lifeline: new Lifeline({ broker, authorizer, clock: deps.clock }),
    request,
    environment: deps.env,
    minTtl,
    runtime: deps.paths.runtime,
    clock: deps.clock,
    progress: report,
    signal: deps.interrupted,
  })
  report.finished(finished)
  if (finished.release.kind === 'released') {
    const { receipt } = finished.release
    writeReceipt(receipt)
    rememberSeen(deps.paths.data, { broker, position: receipt.log })
  }
  return exitLike(finished.outcome)
}
