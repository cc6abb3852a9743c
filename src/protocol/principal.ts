import * as v from 'valibot'
import { Name, Timestamp, text } from './values.ts'

/** Who asks. An agent always has an owner: the id of the person it acts for. */
export const Principal = v.object({
  kind: v.picklist(['human', 'agent', 'pipeline']),
  /** `<issuer host>/<sub>`: unique over issuers, stable, opaque. */
  id: text(512),
  /** For people to read; never decided upon. */
  name: text(256),
  groups: v.array(text(256)),
  owner: v.exactOptional(text(512)),
  /** Of a person: their account at the forge; `""` where their provider should say it and doesn't. */
  account: v.exactOptional(text(256)),
  /** Of a pipeline: the account that set it off, as its issuer says. */
  triggered_by: v.exactOptional(text(256)),
})
export type Principal = v.InferOutput<typeof Principal>

/** What a copilot is called. No capitals, so that two that read alike are not two. */
export const AgentName = v.pipe(
  v.string(),
  v.regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    'expected the name of an agent: up to 63 of a-z 0-9 . _ -, a letter or digit first',
  ),
)

const Names = v.pipe(
  v.array(Name),
  v.minLength(1, 'expected at least one name'),
  v.maxLength(32, 'expected at most 32 names'),
)

/** What a delegated session may ask for at most; an absent list allows all. */
export const Ceiling = v.strictObject({
  tasks: v.exactOptional(Names),
  environments: v.exactOptional(Names),
  targets: v.exactOptional(Names),
})
export type Ceiling = v.InferOutput<typeof Ceiling>

/** `GET /v1/whoami` */
export const WhoAmI = v.object({
  principal: Principal,
  broker: v.string(),
  session_expires_at: Timestamp,
  /** Of a session that was delegated with one. */
  ceiling: v.exactOptional(Ceiling),
  /** Of a pipeline: what its issuer signed of its code; `""` where it says nothing. */
  signed: v.exactOptional(v.object({ repository: text(512), branch: text(512), commit: text(64) })),
})
export type WhoAmI = v.InferOutput<typeof WhoAmI>
