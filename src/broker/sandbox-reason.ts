import type { EndedSandbox } from './ledger/sandbox-ledger.ts'
import type { SessionEnd } from './sessions.ts'
import type { SandboxEnd } from './store/schema.ts'

const REASONS: Readonly<Record<Exclude<SandboxEnd, 'session'>, string>> = {
  exit: 'its command has ended',
  lifeline: 'the connection to the broker was lost',
  policy: 'policy does not permit what it may reach any more',
}

const SESSION_REASONS: Readonly<Record<SessionEnd, string>> = {
  logout: 'its session was signed out',
  idle: 'its session was not renewed in time',
  'max-age': 'the time of its session is over',
  revoked: 'its session was revoked',
  parent: 'the session that it was handed on from has ended',
  sandbox: 'its session ended with its sandbox',
}

/** Why a sandbox has ended, for whoever runs it. */
export function reasonOf({ by, sessionBy }: EndedSandbox): string {
  if (by !== 'session') return REASONS[by]
  return sessionBy === undefined ? 'its session has ended' : SESSION_REASONS[sessionBy]
}
