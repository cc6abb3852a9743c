import type { Opening, Pending } from '../../client/asking.ts'
import { Lifeline } from '../../client/lifeline.ts'
import { rememberSeen } from '../../client/seen.ts'
import { JitError } from '../../lib/errors.ts'
import type { Command } from '../../protocol/request.ts'
import { runElevated } from '../../run/elevated.ts'
import type { Deps } from '../deps.ts'
import { grantRequest, redemption } from '../elevation-request.ts'
import type { Answer } from './answer.ts'
import { type Call, standingIn } from './call.ts'
import { denialOf } from './explain-denial.ts'
import { askOptions, type RunInput } from './input.ts'
import { Patience } from './patience.ts'
import { pendingAnswer, tellPerson } from './pending.ts'
import { Running } from './running.ts'
import { withdraw } from './withdraw.ts'

/** Milliseconds between TERM and KILL: a client that leaves gives this server few seconds. */
const STOP_GRACE = 1500

interface Job {
  readonly input: RunInput
  readonly call: Call
  readonly deps: Deps
  readonly running: Running
}

/**
 * Asks or uses what was approved, runs the command and gives the grant back, as `jit exec` does.
 * @throws JitError whatever keeps the command from starting
 */
export async function run(input: RunInput, call: Call): Promise<Answer> {
  return call.calls.command(async () => {
    const deps = await standingIn(input.directory, call)
    const { grant, directory: _, stdin: __, timeout_seconds: ___, wait_seconds, ...asked } = input
    // Awaited below: what is held by `using` would be let go of before the command has ended.
    using running = new Running(call, input)
    const job = { input, call, deps, running }
    if (grant !== undefined) {
      const opening = await redemption(grant, askOptions(asked), deps)
      return await redeem(opening, { job, wait: wait_seconds })
    }
    const request = await grantRequest(askOptions(asked), deps)
    return await ask({ type: 'request', ...request }, job)
  })
}

/** What waits for people is left to itself at once, so that it can be gone on with whatever becomes of this call. */
async function ask(opening: Extract<Opening, { type: 'request' }>, job: Job): Promise<Answer> {
  const { claimed, command } = opening.details
  const first = await attempt(opening, { job, wait: 0 })
  if (first.kind === 'answer') return first.answer
  const { grant } = first.pending
  const { input, call } = job
  await tellPerson(call.client, { ...first.pending, command })
  if (input.wait_seconds === 0) return pendingAnswer({ ...first.pending, command })
  try {
    return await redeem(
      { type: 'redeem', grant, claimed, command },
      { job, wait: input.wait_seconds },
    )
  } catch (thrown) {
    if (call.signal.aborted) await withdraw(grant, call).catch(() => {})
    throw thrown
  }
}

async function redeem(
  opening: Extract<Opening, { type: 'redeem' }>,
  { job, wait }: { job: Job; wait: number },
): Promise<Answer> {
  const answered = await attempt(opening, { job, wait })
  const { command } = opening
  return answered.kind === 'answer'
    ? answered.answer
    : pendingAnswer({ ...answered.pending, command })
}

type Attempted =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'pending'; readonly pending: Pending }

/** @param how.wait seconds for an approval; then the request is left to itself */
async function attempt(opening: Opening, how: { job: Job; wait: number }): Promise<Attempted> {
  const { call, running } = how.job
  using patience = new Patience({
    client: call.client,
    who: call.acting.agent,
    command: commandOf(opening),
    cancelled: call.signal,
    seconds: how.wait,
  })
  try {
    return await elevated(opening, { ...how, patience })
  } catch (thrown) {
    const { leftWaiting } = patience
    if (leftWaiting) return { kind: 'pending', pending: leftWaiting }
    if (patience.declined && running.grant) await withdraw(running.grant, call).catch(() => {})
    const answer = await denialOf(JitError.from(thrown), call, running.grant)
    return { kind: 'answer', answer }
  }
}

const commandOf = (opening: Opening): Command =>
  opening.type === 'request' ? opening.details.command : opening.command

async function elevated(
  opening: Opening,
  { job, wait, patience }: { job: Job; wait: number; patience: Patience },
): Promise<Attempted> {
  const { call, deps, running } = job
  const { broker, authorizer } = call.connection
  const finished = await runElevated({
    lifeline: new Lifeline({ broker, authorizer, clock: deps.clock }),
    opening,
    patience: wait === 0 ? { kind: 'none' } : { kind: 'until_lapsed' },
    stepUp: async () => {
      throw signInWanted(call.acting.agent)
    },
    withdraw: (grant) => withdraw(grant, call),
    command: commandOf(opening),
    environment: { ...deps.env, JIT_AGENT: call.acting.agent },
    minTtl: undefined,
    runtime: deps.paths.runtime,
    clock: deps.clock,
    progress: running.report(patience),
    signal: patience.signal,
    apart: { start: (child) => running.start(child), stop: running.stop, grace: STOP_GRACE },
  })
  if (finished.kind === 'detached') return { kind: 'pending', pending: finished.pending }
  const { release } = finished
  if (release.kind === 'released') {
    rememberSeen(deps.paths.data, { broker, position: release.receipt.log })
  }
  return { kind: 'answer', answer: running.answer(finished) }
}

function signInWanted(agent: string): JitError {
  return new JitError(
    'insufficient_user_authentication',
    'policy wants a person to sign in anew, and no person is here',
    {
      hint: `the person runs 'jit login --fresh' (or 'jit login --agent ${agent} --fresh' where it signed in itself), then restart this server and ask again`,
    },
  )
}
