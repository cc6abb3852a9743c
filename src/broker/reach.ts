import { JitError } from '../lib/errors.ts'
import { programOf } from '../policy/request.ts'
import type { SandboxClientMessage } from '../protocol/sandbox.ts'
import { authenticationOf } from './decider.ts'
import type { DomainDecision, LedgerSandbox } from './ledger/sandbox-ledger.ts'
import type { BrokerParts } from './parts.ts'
import type { Session } from './sessions.ts'

type Opening = Extract<SandboxClientMessage, { type: 'open' }>

/** What wants to reach which domains. */
export type Reaching = Pick<Opening, 'profile' | 'command' | 'domains'>

/** What policy says to each domain that a sandbox wants, once for each. */
export function decideDomains(
  session: Session,
  { profile, command, domains }: Reaching,
  { policies, store }: Pick<BrokerParts, 'policies' | 'store'>,
): DomainDecision[] {
  const context = { authentication: authenticationOf(session), now: store.now() }
  const { principal } = session
  const program = programOf(command)
  return [...new Set(domains)].map((domain) => ({
    domain,
    decision: policies.current.decideOn({
      action: 'reach',
      ...{ principal, domain, profile, program, context },
    }),
  }))
}

/** A sandbox that may not have all that it has any more, and what policy said. */
interface Beyond {
  readonly sandbox: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** Decides again what live sandboxes may reach, where policies or their agent have changed since. */
export async function decideAgain(
  parts: Pick<BrokerParts, 'ledger' | 'policies' | 'sessions' | 'store' | 'log'>,
): Promise<Beyond[]> {
  const { version } = parts.policies.current
  const beyond: Beyond[] = []
  for (const row of await parts.ledger.sandboxes.decidedOtherwise(version)) {
    try {
      const denied = await deniedOf(row, parts)
      const detail = { policy_version: version, decisions: denied }
      if (denied.length > 0) beyond.push({ sandbox: row.id, detail })
    } catch (thrown) {
      const { message: reason } = JitError.from(thrown)
      parts.log.warn('a sandbox could not be decided again', { sandbox: row.id, reason })
    }
  }
  return beyond
}

/** What it has and may not have; where there is nothing, that is recorded. */
async function deniedOf(
  row: LedgerSandbox,
  parts: Pick<BrokerParts, 'ledger' | 'policies' | 'sessions' | 'store'>,
): Promise<DomainDecision[]> {
  const session = await parts.sessions.get(row.sid)
  const reaching: Reaching = {
    profile: row.profile,
    command: JSON.parse(row.command),
    domains: JSON.parse(row.domains),
  }
  const decisions = decideDomains(session, reaching, parts)
  const denied = decisions.filter(({ decision }) => decision.effect === 'deny')
  // Of one whose line is at no node, whichever takes it up says so: nodes may have different policies.
  if (denied.length > 0 || row.held_by === null) return denied
  const { version } = parts.policies.current
  await parts.ledger.sandboxes.redecided(row.id, { version, principal: session.principal })
  return []
}
