import * as v from 'valibot'
import { Timestamp, text } from './values.ts'

/** Who asks. An agent always has an owner: the id of the person it acts for. */
export const Principal = v.object({
  kind: v.picklist(['human', 'agent', 'pipeline']),
  /** `<issuer host>/<sub>`: unique over issuers, stable, opaque. */
  id: text(512),
  /** For people to read; never decided upon. */
  name: text(256),
  groups: v.array(text(256)),
  owner: v.exactOptional(text(512)),
  /** Of a pipeline: the account that set it off, as its issuer says. */
  triggered_by: v.exactOptional(text(256)),
})
export type Principal = v.InferOutput<typeof Principal>

/** `GET /v1/whoami` */
export const WhoAmI = v.object({
  principal: Principal,
  broker: v.string(),
  session_expires_at: Timestamp,
})
export type WhoAmI = v.InferOutput<typeof WhoAmI>
