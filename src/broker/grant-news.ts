import * as v from 'valibot'
import { ERROR_CODES, JitError } from '../lib/errors.ts'
import type { AuditEntry } from '../protocol/audit.ts'
import { EndedBy } from '../protocol/grant.ts'

/** What an entry of the log means for whoever has the grant's lifeline. */
export type GrantNews =
  | { readonly kind: 'ended'; readonly by: EndedBy; readonly reason: string | undefined }
  | { readonly kind: 'refused'; readonly error: JitError }
  /** What a request waited for may be there now. */
  | { readonly kind: 'decided' }
  /** Its connection is at the node that wrote the entry. */
  | { readonly kind: 'moved-away' }

// What a newer node says of the why may be unknown here: that it is over is not.
const Ended = v.object({ ended_by: EndedBy, reason: v.fallback(v.optional(v.string()), undefined) })
const Code = v.fallback(v.picklist(ERROR_CODES), 'grant_ended')
const Refused = v.object({ reason: v.object({ code: Code, message: v.string() }) })

/** Reads an entry that another node wrote; `undefined` where it is no news. */
export function grantNews(entry: AuditEntry): GrantNews | undefined {
  switch (entry.event) {
    case 'grant.ended': {
      const { ended_by: by, reason } = v.parse(Ended, entry)
      return { kind: 'ended', by, reason }
    }
    case 'grant.refused': {
      const { reason } = v.parse(Refused, entry)
      return { kind: 'refused', error: new JitError(reason.code, reason.message) }
    }
    case 'grant.approved':
      return { kind: 'decided' }
    case 'grant.resumed':
    case 'grant.reissued':
    case 'grant.permitted':
      return { kind: 'moved-away' }
    default:
      return undefined
  }
}
