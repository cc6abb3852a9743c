import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { Grant } from '../protocol/grant.ts'
import type { GrantRequest } from '../protocol/request.ts'
import { redeemingWith } from './approval-pending.ts'
import type { RequestOptions } from './commands/request.ts'
import { type Connection, connect } from './connect.ts'
import type { Deps } from './deps.ts'
import { grantRequest } from './elevation-request.ts'
import { EXIT } from './exit-codes.ts'
import { obligationText } from './obligation-text.ts'
import { polled } from './polling.ts'
import { formatTime } from './receipt-text.ts'
import { stepUpFor } from './step-up-here.ts'
import { symbolsFor } from './symbols.ts'
import { waitingOn } from './waiting.ts'

/** Milliseconds between two looks at a request that is waited for. */
const LOOK_EVERY = 2000

/** What `jit request` does. */
export async function askAhead(options: RequestOptions, deps: Deps): Promise<number> {
  const choice = { verb: 'jit request', tried: false, quiet: options.json === true }
  const request = await grantRequest(options, deps, choice)
  const connection = await connect(deps, { tells: !options.json && !options.wait })
  const asked = await ask(request, { connection, deps })
  // What was asked ahead ends with the session that asked.
  deps.atExit.clear()
  // At once: whoever stops waiting still has the id.
  if (!options.json) deps.io.out(asked.id)
  if (!options.json) tell(asked, deps)
  const grant = options.wait ? await untilApproved(asked, { connection, deps }) : asked
  if (options.json) deps.io.out(JSON.stringify({ grant }))
  else if (grant.state !== asked.state) tell(grant, deps)
  return EXIT.ok
}

/** After the sign-in that policy wants first, if any, the same is asked again. */
async function ask(
  request: GrantRequest,
  { connection, deps }: { connection: Connection; deps: Deps },
): Promise<Grant> {
  const { client } = connection
  try {
    return await client.request(request)
  } catch (thrown) {
    const { signIn } = JitError.from(thrown)
    if (!signIn) throw thrown
    await stepUpFor(connection, deps)({ ...signIn, acr_values: [...signIn.acr_values] })
    return client.request(request)
  }
}

function tell(
  { id, state, obligation, lapses_at, context }: Grant,
  { io, env, clock }: Deps,
): void {
  const symbols = symbolsFor(env)
  const shown = escapeForDisplay(id)
  if (state === 'pending' && obligation) {
    const lapses = lapses_at ? `, until ${formatTime(lapses_at, clock.now())}` : ''
    io.note(`${symbols.waits[0]} ${shown} waits for ${obligationText(obligation)}${lapses}`)
  } else {
    io.note(`${io.style.green(symbols.done)} ${shown} is approved`)
  }
  io.note(`  use it: ${escapeForDisplay(redeemingWith(id, context.command))}`)
}

/**
 * Looks until the request waits no longer. Ctrl-C ends the wait, not the request.
 * @throws JitError `approval_denied`, `request_lapsed`, `cancelled`, what the broker answers
 */
async function untilApproved(
  asked: Grant,
  { connection, deps }: { connection: Connection; deps: Deps },
): Promise<Grant> {
  const waiting = waitingOn(deps)
  const look = async () => (await connection.client.grant(asked.id)).grants[0]
  const options = { every: LOOK_EVERY, signal: deps.interrupted, lost: () => {} }
  try {
    for await (const grant of polled(look, options)) {
      if (!grant) throw new JitError('broker_failed', `the broker lost ${asked.id}`)
      if (grant.state !== 'pending') return outcomeOf(grant, { asked, deps })
      if (grant.obligation) {
        const what = `waiting for ${obligationText(grant.obligation)}`
        waiting.show({ what, aside: `jit approve ${escapeForDisplay(grant.id)}` })
      }
    }
    return asked
  } finally {
    waiting.stop()
  }
}

function outcomeOf(grant: Grant, { asked, deps }: { asked: Grant; deps: Deps }): Grant {
  if (grant.state !== 'refused' && grant.state !== 'denied') return grant
  if (asked.lapses_at && Date.parse(asked.lapses_at) <= deps.clock.now()) {
    throw new JitError('request_lapsed', `${grant.id} lapsed before it was approved`)
  }
  throw new JitError('approval_denied', `${grant.id} was denied, or withdrawn`)
}
