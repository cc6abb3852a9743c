import * as v from 'valibot'
import { Delivery } from './delivery.ts'
import { Obligation } from './obligation.ts'
import { Timestamp } from './values.ts'

/** Attributes that policies read, with their values: `{"context.claimed.branch": "main"}`. */
const Attributes = v.record(v.string(), v.unknown())

/** A policy that said what counted. */
const DecidingPolicy = v.object({
  id: v.string(),
  effect: v.picklist(['permit', 'forbid']),
  description: v.exactOptional(v.string()),
  /** Those that it reads. */
  attributes: Attributes,
})

/** A permit for this task and resource that didn't apply, and what of it doesn't hold. */
const NearPolicy = v.object({
  id: v.string(),
  description: v.exactOptional(v.string()),
  unmet: v.array(v.object({ condition: v.string(), attributes: Attributes })),
})

/** What was said to one question. */
const AnswerExplanation = v.object({
  /** Absent where the question is about the broker itself. */
  target: v.exactOptional(v.string()),
  /** Whether it was asked for the principal itself, or for an agent's owner. */
  asked: v.picklist(['principal', 'owner']),
  /** Of a task: how its credential would reach the command. */
  delivery: v.exactOptional(Delivery),
  effect: v.picklist(['permit', 'deny']),
  because: v.exactOptional(v.picklist(['forbidden', 'not-permitted', 'unnamed-delivery', 'error'])),
  policies: v.array(DecidingPolicy),
  near: v.array(NearPolicy),
})

/** What policies say to a request, which of them and why, and what would change it. */
export const Explanation = v.object({
  /** Of the set of policies. */
  version: v.string(),
  decision: v.picklist(['permit', 'obligation', 'deny']),
  /** What would turn it, and the policies that would permit then. */
  obligation: v.exactOptional(Obligation),
  then_permitted: v.exactOptional(v.array(v.string())),
  /** What is outside the ceiling of the session that asked: no policy changes that. */
  outside: v.exactOptional(v.array(v.string())),
  answers: v.array(AnswerExplanation),
})
export type Explanation = v.InferOutput<typeof Explanation>
export type AnswerExplanation = v.InferOutput<typeof AnswerExplanation>

/** A decision as the audit log has it. */
const RecordedDecision = v.object({
  seq: v.number(),
  at: Timestamp,
  event: v.string(),
  version: v.string(),
  decisions: v.array(
    v.object({
      target: v.string(),
      delivery: Delivery,
      effect: v.string(),
      policies: v.array(v.string()),
    }),
  ),
})
export type RecordedDecision = v.InferOutput<typeof RecordedDecision>

/** `GET /v1/policy/explain?grant=ID` */
export const GrantExplanation = v.object({
  grant: v.string(),
  environment: v.string(),
  task: v.string(),
  /** By the policies of today, in the context of today; absent where it can't be asked any more. */
  today: v.exactOptional(Explanation),
  /** Every decision that was recorded, oldest first. */
  recorded: v.array(RecordedDecision),
})
export type GrantExplanation = v.InferOutput<typeof GrantExplanation>
