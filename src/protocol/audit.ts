import * as v from 'valibot'

/**
 * One line of the audit log. `hash` is the SHA-256 (hex) of the entry's canonical JSON (RFC 8785)
 * without `hash`; `prev` the hash of the entry before it, 64 zeros for the first.
 */
export const AuditEntry = v.looseObject({
  seq: v.number(),
  at: v.string(),
  event: v.string(),
  principal: v.nullable(v.object({ kind: v.string(), id: v.string(), name: v.string() })),
  grant: v.exactOptional(v.string()),
  prev: v.string(),
  hash: v.string(),
})
export type AuditEntry = v.InferOutput<typeof AuditEntry>

/** `GET /v1/audit`: a page, and the signed head (a JWS over `{seq, hash}`). */
export const AuditPage = v.object({
  entries: v.array(AuditEntry),
  /** `seq` to go on after, absent on the last page. */
  next: v.exactOptional(v.number()),
  head: v.object({ seq: v.number(), hash: v.string(), signature: v.string() }),
})
export type AuditPage = v.InferOutput<typeof AuditPage>
