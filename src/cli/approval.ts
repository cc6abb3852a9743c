import type { BrokerClient } from '../client/broker.ts'
import type { StepUp } from '../client/sign-in-again.ts'
import { JitError } from '../lib/errors.ts'
import { escapeForDisplay } from '../lib/escape.ts'
import type { ApprovalRequest } from '../protocol/approval.ts'
import { approvalChoice, approvalLines } from './approval-text.ts'
import type { Connection } from './connect.ts'
import type { Deps } from './deps.ts'
import { obligationText } from './obligation-text.ts'
import { stepUpFor } from './step-up-here.ts'
import { symbolsFor } from './symbols.ts'

/** What an answer that isn't a yes comes to. */
export const NOT_APPROVED = 'not approved: it goes on waiting'

/** How an approver's command asks and tells. */
export interface Deciding {
  readonly connection: Connection
  readonly deps: Deps
  /** Without asking. */
  readonly yes: boolean
  /** Nothing that is to be read, unless it is asked about. */
  readonly json: boolean
  /** Takes the question back. */
  readonly signal?: AbortSignal
}

/** Shows a request whole, as the broker has it today. */
function showRequest(request: ApprovalRequest, { io, clock }: Deps): void {
  const screen = { now: clock.now(), columns: io.noteColumns }
  for (const line of approvalLines(request, screen)) io.note(line)
}

/**
 * Asks about a request and approves exactly what was shown; when it has changed meanwhile, it is
 * shown again.
 * @returns the request with this approval; nothing when the answer was no
 * @throws JitError what the broker answers; `cancelled`; `request_changed` where nobody is asked
 */
export async function approve(
  request: ApprovalRequest,
  deciding: Deciding,
): Promise<ApprovalRequest | undefined> {
  const { connection, deps, yes, json } = deciding
  for (let shown = request; ; ) {
    if (!json || !yes) showRequest(shown, deps)
    if (!yes && !(await agrees('Approve this?', deciding))) return undefined
    try {
      return await approveShown(shown, {
        client: connection.client,
        stepUp: stepUpFor(connection, deps, { nonce: shown.hash }),
      })
    } catch (thrown) {
      if (yes || JitError.from(thrown).code !== 'request_changed') throw thrown
      deps.io.note('the request has changed since it was shown:')
      shown = await connection.client.approval(shown.subject.grant)
    }
  }
}

/** Where policy wants the approver to sign in for this, that happens; the approval stays for what was shown. */
async function approveShown(
  { subject, hash }: ApprovalRequest,
  { client, stepUp }: { client: BrokerClient; stepUp: StepUp },
): Promise<ApprovalRequest> {
  try {
    return await client.approve(subject.grant, hash)
  } catch (thrown) {
    const { signIn } = JitError.from(thrown)
    if (!signIn) throw thrown
    await stepUp({ max_age: signIn.max_age, acr_values: [...signIn.acr_values] })
    return await client.approve(subject.grant, hash)
  }
}

/**
 * Shows a request, asks, and denies it.
 * @returns the request, refused; nothing when the answer was no
 */
export async function deny(
  request: ApprovalRequest,
  { reason, ...deciding }: Deciding & { reason: string },
): Promise<ApprovalRequest | undefined> {
  const { connection, deps, yes, json } = deciding
  if (!json || !yes) showRequest(request, deps)
  if (!yes && !(await agrees('Deny this?', deciding))) return undefined
  return connection.client.deny(request.subject.grant, reason)
}

function agrees(message: string, { deps, signal }: Deciding): Promise<boolean> {
  // An answer to the request before this one must not be one to this.
  const question = { message, default: false, flag: '--yes', afresh: true }
  return deps.prompt.confirm({ ...question, ...(signal && { signal }) })
}

/** Says what an approval came to. */
export function tellApproved({ subject, state, obligation }: ApprovalRequest, deps: Deps): void {
  const { io, env } = deps
  const id = escapeForDisplay(subject.grant)
  const more = state === 'pending' ? `: it still waits for ${obligationText(obligation)}` : ''
  io.note(`${io.style.green(symbolsFor(env).done)} approved ${id}${more}`)
}

/**
 * Before a person reads all of it: one's own is somebody else's to decide on.
 * @throws JitError `denied`, `not_found`
 */
async function ofSomebodyElse(id: string, client: BrokerClient): Promise<ApprovalRequest> {
  const [request, who] = await Promise.all([
    client.approval(id),
    // Whatever is wrong with this shows at the decision.
    client.whoami().catch(() => undefined),
  ])
  if (who?.principal.id !== request.subject.principal.id) return request
  throw new JitError('denied', 'you asked for it: somebody else has to decide on it', {
    hint: `jit revoke ${id} takes it back; it waits for ${obligationText(request.obligation)}`,
  })
}

/**
 * The request that an id names, or that is chosen from those that wait for this person.
 * @returns nothing where none waits
 * @throws JitError `not_found`; `usage` without an id where nobody can be asked
 */
export async function chosenRequest(
  id: string | undefined,
  { client, deps, verb }: { client: BrokerClient; deps: Deps; verb: string },
): Promise<ApprovalRequest | undefined> {
  if (id !== undefined) return ofSomebodyElse(id, client)
  const flag = `the id of the request, like: jit ${verb} g_…`
  if (!deps.io.interactive) {
    throw new JitError('usage', 'there is no terminal to choose on', { hint: `give ${flag}` })
  }
  const { requests } = await client.approvals()
  if (requests.length <= 1) return requests[0]
  const chosen = await deps.prompt.select({
    message: `Which one do you want to ${verb}?`,
    choices: requests.map((request) => ({
      name: approvalChoice(request),
      value: request.subject.grant,
    })),
    flag,
  })
  return client.approval(chosen)
}
