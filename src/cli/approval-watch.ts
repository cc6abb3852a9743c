import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { ApprovalRequest } from '../protocol/approval.ts'
import { approve, type Deciding, NOT_APPROVED, tellApproved } from './approval.ts'
import { approvalLines } from './approval-text.ts'
import { exitCodeOf } from './exit-codes.ts'
import { reportFailure } from './failure.ts'
import { polled } from './polling.ts'

/** Milliseconds between two looks at what waits. */
const LOOK_EVERY = 2000
const BELL = '\u0007'

type Watching = Pick<Deciding, 'connection' | 'deps' | 'json'>

/**
 * Shows each request that comes to wait for this person, once, until Ctrl-C; on a terminal it asks
 * about each. A broker that restarts is waited for.
 * @throws JitError what the broker answers to who may not look
 */
export async function watchApprovals(watching: Watching): Promise<number> {
  const seen = new Set<string>()
  const { io, interrupted } = watching.deps
  if (io.interactive && !watching.json)
    io.note('what waits for your approval is shown as it comes; Ctrl-C ends it')
  try {
    for await (const { requests } of looks(watching, interrupted)) {
      for (const request of requests) {
        // One that has changed is another one.
        const key = `${request.subject.grant} ${request.hash}`
        if (seen.has(key)) continue
        seen.add(key)
        await announce(request, watching)
      }
    }
  } catch (thrown) {
    if (!interrupted.aborted && JitError.from(thrown).code !== 'cancelled') {
      throw thrown
    }
  }
  // What the terminal echoes of Ctrl-C has no end of line.
  if (io.live) io.note('')
  return exitCodeOf('cancelled', { wraps: false })
}

function looks({ connection, deps }: Watching, signal: AbortSignal) {
  const lost = (error: JitError) => {
    deps.io.note(`jit: ${deps.io.style.yellow('warning')}: ${escapeForDisplay(error.message)}`)
  }
  return polled(() => connection.client.approvals(), { every: LOOK_EVERY, signal, lost })
}

async function announce(request: ApprovalRequest, watching: Watching): Promise<void> {
  const { io, clock } = watching.deps
  if (watching.json) io.out(JSON.stringify(request))
  else if (io.interactive) await ask(request, watching)
  else {
    const lines = approvalLines(request, { now: clock.now(), columns: io.outColumns })
    for (const line of [...lines, '']) io.out(line)
  }
}

/** Asks for as long as the request waits: somebody else may decide on it meanwhile. */
async function ask(request: ApprovalRequest, watching: Watching): Promise<void> {
  const { deps } = watching
  deps.io.note(deps.io.live ? BELL : '')
  const gone = new AbortController()
  const answered = new AbortController()
  const signal = AbortSignal.any([deps.interrupted, answered.signal])
  void whenGone(request.subject.grant, { watching, signal }).then((left) => left && gone.abort())
  try {
    const deciding = { ...watching, yes: false, signal: gone.signal }
    const whole = await watching.connection.client.approval(request.subject.grant)
    const approved = await approve(whole, deciding)
    if (approved) tellApproved(approved, deps)
    else deps.io.note(NOT_APPROVED)
  } catch (thrown) {
    const error = JitError.from(thrown)
    if (gone.signal.aborted) deps.io.note('it waits no longer')
    else if (error.code === 'cancelled') throw thrown
    else reportFailure(error, { io: deps.io, json: false, debug: deps.env.JIT_DEBUG === '1' })
  } finally {
    answered.abort()
  }
}

/** @returns whether the request waits no longer; `false` when that wasn't of interest any more */
async function whenGone(
  grant: string,
  { watching, signal }: { watching: Watching; signal: AbortSignal },
): Promise<boolean> {
  try {
    for await (const { requests } of looks(watching, signal)) {
      if (!requests.some(({ subject }) => subject.grant === grant)) return true
    }
  } catch {
    // Whatever is wrong shows at the next look.
  }
  return false
}
