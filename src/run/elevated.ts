import { once } from 'node:events'
import type { Granted, Pending, Requested } from '../client/asking.ts'
import type { Ending, Release } from '../client/lifeline.ts'
import { ContextWatch } from '../context/watch.ts'
import { formatDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import type { CommandOutcome } from '../protocol/lifeline.ts'
import type { ClaimedContext, Command } from '../protocol/request.ts'
import { type AskProgress, type Asks, askFor } from './asking.ts'
import type { Child, ChildStart } from './child.ts'
import { Deadline } from './deadline.ts'
import { childEnvironment, type Environment } from './environment.ts'
import { leaveMarker } from './marker.ts'
import { type MaskedOutput, startMaskedChild } from './masking/child.ts'
import { secretsOf } from './masking/secrets.ts'
import { type Delivered, deliverThroughPorts } from './ports/delivered.ts'
import { announceEnd, keepRenewed, type RenewalProgress } from './renewal.ts'
import { passSignals } from './signals.ts'
import { stopTree } from './tree.ts'

/** Milliseconds: to wait for the receipt, and between TERM and KILL. */
const RECEIPT_WITHIN = 5000
const STOP_GRACE = 5000

/** Why the child was stopped before its time. */
export type Stopped = Ending | { readonly kind: 'cancelled' }

/** A command that isn't in this process's place: with streams of its own, and no signals passed on to it. */
export interface Apart {
  readonly start: (child: ChildStart) => Promise<Child>
  /** Stops it when aborted. */
  readonly stop: AbortSignal
  /** Milliseconds between TERM and KILL. */
  readonly grace: number
}

/** What is told while it happens. */
export interface Progress extends AskProgress, RenewalProgress {
  granted(granted: Granted): void
  stopping(why: Stopped): void
  /** The command has ended: its grant is given back. */
  releasing(granted: Granted): void
  /** @param pids what could not be ended */
  survived(pids: readonly number[]): void
}

export interface ElevatedCommand extends Asks {
  /** What is run: the same as in `opening`. */
  readonly command: Command
  readonly environment: Environment
  /** Seconds that must be left when the child starts. */
  readonly minTtl: number | undefined
  /** Where {@link leaveMarker} leaves its line. */
  readonly runtime: string
  readonly progress: Progress
  /** Absent: it takes this process's terminal, streams and signals. */
  readonly apart?: Apart
  /** Where its output goes when it is masked; a stream that isn't named is the command's own. */
  readonly masked?: MaskedOutput
}

export interface Finished {
  readonly kind: 'finished'
  readonly outcome: CommandOutcome
  readonly granted: Granted
  readonly stopped: Stopped | undefined
  readonly release: Release
  /** Milliseconds from the child's end to the receipt. */
  readonly releaseTook: number
}

/**
 * Asks for a grant, runs the command with its credentials and gives it back when the command ends,
 * however it ends; or leaves a request that waits to itself, where that is wanted.
 * @throws JitError before a child exists: what asking throws, `ttl_too_short`, `command_not_found`,
 *   `command_not_executable`, `cancelled`
 */
export async function runElevated(
  command: ElevatedCommand,
): Promise<Finished | { readonly kind: 'detached'; readonly pending: Pending }> {
  const { lifeline, clock, signal } = command
  try {
    const asked = await askFor(command)
    if (asked.kind === 'detached') return asked
    const deadline = new Deadline(asked.granted.expires_at, clock)
    const held = { ...asked, deadline }
    const { outcome, stopped, written } = await holding(command, held).catch(async (thrown) => {
      await lifeline.release({ code: null, signal: null }, { within: RECEIPT_WITHIN })
      throw thrown
    })
    const granted = { ...asked.granted, expires_at: deadline.expiresAt }
    command.progress.releasing(granted)
    const ended = clock.monotonic()
    const release = await lifeline.release(outcome, { within: RECEIPT_WITHIN, signal })
    const releaseTook = clock.monotonic() - ended
    await written
    return { kind: 'finished', outcome, granted, stopped, release, releaseTook }
  } finally {
    lifeline.close()
  }
}

/** How the child ended. */
type Ended = Pick<Finished, 'outcome' | 'stopped'>

/** Runs the child while the grant is held. */
async function holding(
  command: ElevatedCommand,
  {
    granted,
    requested,
    deadline,
  }: { granted: Granted; requested: Requested | undefined; deadline: Deadline },
): Promise<Ended & { readonly written: Child['written'] | undefined }> {
  const { lifeline, progress } = command
  const { credentials } = granted
  requireTime(deadline.left(), command.minTtl)
  command.signal.throwIfAborted()
  progress.granted(granted)
  announceEnd({ credentials, deadline, progress })
  const inside = command.environment.JIT_SANDBOX !== undefined
  await using delivered = await deliverThroughPorts(credentials, {
    runtime: command.runtime,
    inside,
  })
  const env = childEnvironment({
    parent: command.environment,
    credentials: delivered.credentials,
    grant: { id: granted.grant, expiresAt: granted.expires_at },
  })
  using marker = leaveMarker(command.runtime, {
    grant: granted.grant,
    expiresAt: Date.parse(granted.expires_at),
    environment: requested?.environment ?? '',
    tier: requested?.tier ?? '',
    task: requested?.task ?? '',
    agent: command.environment.JIT_AGENT || undefined,
  })
  lifeline.held.onDeadline((expiresAt) => {
    deadline.move(expiresAt)
    marker.move(Date.parse(expiresAt))
  })
  await lifeline.confirmReceived()
  const started = Promise.withResolvers<Child>()
  using _signals = command.apart
    ? undefined
    : passSignals(started.promise, { suspend: () => lifeline.suspend() })
  const { apart, masked = {} } = command
  const start = apart?.start ?? ((child: ChildStart) => startMaskedChild(child, masked))
  const child = await start({ ...command.command, env, secrets: secretsOf(credentials) })
  started.resolve(child)
  using _context = watchContext(command)
  // Awaited here: what is held by `using` would be let go of before the child has ended.
  const ended = await watch(command, { child, deadline, granted, delivered })
  return { ...ended, written: child.written }
}

/** From what the request said on: what changed while it waited is told as well. */
function watchContext({ opening, command, lifeline }: ElevatedCommand): ContextWatch {
  const { claimed } = opening.type === 'request' ? opening.details : opening
  const changed = (now: ClaimedContext) => lifeline.held.tell(now)
  return new ContextWatch({ directory: command.directory, known: claimed, changed })
}

/** Waits for the child's end, or brings it about when the grant is over. */
async function watch(
  { lifeline, clock, progress, apart }: ElevatedCommand,
  {
    child,
    deadline,
    granted,
    delivered,
  }: { child: Child; deadline: Deadline; granted: Granted; delivered: Delivered },
): Promise<Ended> {
  const ended = new AbortController()
  const passed = deadline.passed(ended.signal).then((): Stopped => ({ kind: 'deadline' }))
  const over: Promise<Stopped> = Promise.race([
    lifeline.ending,
    passed,
    ...(apart ? [cancelled(apart.stop)] : []),
  ])
  const { grant, credentials } = granted
  void keepRenewed({ held: lifeline.held, deadline, credentials, progress }, ended.signal)
  const stopped = await Promise.race([child.outcome.then(() => undefined), over])
  ended.abort()
  if (stopped) {
    progress.stopping(stopped)
    void delivered.close()
    const grace = apart?.grace ?? STOP_GRACE
    const left = await stopTree({ root: child.pid, grant, grace, clock })
    if (left.length > 0) progress.survived(left)
  }
  return { outcome: await child.outcome, stopped }
}

async function cancelled(stop: AbortSignal): Promise<Stopped> {
  if (!stop.aborted) await once(stop, 'abort')
  return { kind: 'cancelled' }
}

function requireTime(left: number, minTtl: number | undefined): void {
  if (minTtl === undefined || left >= minTtl * 1000) return
  const has = formatDuration(left / 1000)
  throw new JitError(
    'ttl_too_short',
    `the grant lasts ${has}, less than the ${formatDuration(minTtl)} asked for with --min-ttl`,
    { hint: 'ask for a longer --ttl, if the target allows it' },
  )
}
