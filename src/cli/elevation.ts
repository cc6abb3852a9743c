import { isatty } from 'node:tty'
import { createBrokerClient } from '../client/broker.ts'
import { Lifeline } from '../client/lifeline.ts'
import { rememberSeen } from '../client/seen.ts'
import { parseDuration } from '../lib/duration.ts'
import type { Patience } from '../run/asking.ts'
import { runElevated } from '../run/elevated.ts'
import { exitLike } from '../run/signals.ts'
import { waitsByItself } from './approval-pending.ts'
import { settle } from './at-exit.ts'
import type { ExecOptions } from './commands/exec.ts'
import { type Connection, connect } from './connect.ts'
import type { Deps } from './deps.ts'
import { elevationReport } from './elevation-report.ts'
import { grantRequest, redemption } from './elevation-request.ts'
import { maskedStreams } from './masked-output.ts'
import { openReceiptFile } from './receipt-file.ts'
import { stepUpFor } from './step-up-here.ts'

/** Milliseconds for the broker to hear that a request is taken back: Ctrl-C is to end `jit` soon. */
const WITHDRAW_WITHIN = 1500

/** What `jit exec` does. Its parts are loaded at once: each load on its own costs a millisecond. */
export async function elevate(options: ExecOptions, deps: Deps): Promise<number> {
  const minTtl = options.minTtl === undefined ? undefined : parseDuration(options.minTtl)
  const patience = patienceOf(options.wait)
  const terminals = { stdout: isatty(1), stderr: isatty(2) }
  const masked = maskedStreams(options.mask, { env: deps.env, terminals })
  const opening = await openingOf(options, deps)
  const { claimed, command } = opening.type === 'request' ? opening.details : opening
  const connection = await connect(deps)
  const { broker, authorizer } = connection
  const writeReceipt = openReceiptFile(options.receipt, deps.cwd)
  const quiet = Boolean(options.quiet || options.json)
  const report = elevationReport(deps, { claimed, quiet })
  const finished = await runElevated({
    lifeline: new Lifeline({ broker, authorizer, clock: deps.clock }),
    opening,
    patience,
    stepUp: stepUpFor(connection, deps),
    withdraw: (grant) => withdraw(connection, grant),
    command,
    environment: deps.env,
    masked,
    minTtl,
    runtime: deps.paths.runtime,
    clock: deps.clock,
    progress: report,
    signal: deps.interrupted,
  })
  if (finished.kind === 'detached') {
    // The request ends with the session that asked.
    deps.atExit.clear()
    throw waitsByItself(finished.pending, command)
  }
  report.finished(finished)
  if (finished.release.kind === 'released') {
    const { receipt } = finished.release
    writeReceipt(receipt)
    rememberSeen(deps.paths.data, { broker, position: receipt.log })
  }
  await settle(deps)
  return exitLike(finished.outcome)
}

async function openingOf(options: ExecOptions, deps: Deps) {
  if (options.grant !== undefined) return redemption(options.grant, options, deps)
  const quiet = Boolean(options.quiet || options.json)
  const choice = { verb: 'jit exec', tried: false, quiet }
  return { type: 'request', ...(await grantRequest(options, deps, choice)) } as const
}

function patienceOf(wait: string | false | undefined): Patience {
  if (wait === undefined) return { kind: 'until_lapsed' }
  return wait === false ? { kind: 'none' } : { kind: 'at_most', seconds: parseDuration(wait) }
}

/** On a signal of its own: what everything else stops on is why this is called. */
async function withdraw({ broker, authorizer }: Connection, grant: string): Promise<void> {
  const signal = AbortSignal.timeout(WITHDRAW_WITHIN)
  await createBrokerClient({ broker, authorizer, signal }).revoke(grant)
}
