import type { Principal } from '../protocol/principal.ts'

/**
 * Whether a person set a pipeline's run off, as far as anybody can tell: they must not approve what
 * it asks for. Where a provider should name their account at the forge (`account:`) and doesn't, the
 * answer is yes; where none is asked to, their name at the provider is compared with the account.
 * @param triggeredBy the account that the pipeline's issuer names
 */
export function isTrigger(approver: Principal, triggeredBy: string): boolean {
  const { account, name, id } = approver
  if (account === '') return true
  if (account !== undefined) return alike(account, triggeredBy)
  const subject = id.slice(id.lastIndexOf('/') + 1)
  return [name, beforeAt(name), subject].some((known) => alike(known, triggeredBy))
}

/** Forges know accounts without regard to case. */
function alike(one: string, other: string): boolean {
  return one.trim().toLowerCase() === other.trim().toLowerCase()
}

/** `dana` of `dana@acme.dev`. */
function beforeAt(name: string): string {
  return name.replace(/@[^@]*$/, '')
}
