import * as v from 'valibot'
import { escapeForDisplay } from '../lib/escape.ts'
import type { AuditEntry } from '../protocol/audit.ts'
import { Obligation } from '../protocol/obligation.ts'
import { obligationText } from './obligation-text.ts'

const Yes = v.object({ groups: v.array(v.string()), method: v.string() })

/** What a request waits for, for whom somebody said yes, and whether it was an emergency. */
export function approvalOutcome(entry: AuditEntry): string {
  const wanted = v.safeParse(Obligation, entry.obligation)
  const yes = entry.event === 'grant.approved' ? v.safeParse(Yes, entry) : undefined
  const said = [
    wanted.success ? `waits for ${obligationText(wanted.output)}` : '',
    yes?.success ? `for ${yes.output.groups.join(', ') || 'no group'}` : '',
    yes?.success && yes.output.method === 'reauth' ? 'signed in anew' : '',
    entry.break_glass === true ? 'break glass' : '',
  ]
  return escapeForDisplay(said.filter((part) => part !== '').join(', '))
}
