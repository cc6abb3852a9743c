import * as v from 'valibot'
import { Delivery } from './delivery.ts'
import { Explanation } from './explanation.ts'
import { AuthorizationDetails } from './request.ts'

/** `POST /v1/policy/explain`: a request that nobody makes. */
export const ExplainBody = v.strictObject({ details: AuthorizationDetails })
export type ExplainBody = v.InferOutput<typeof ExplainBody>

/** The request as it would be decided, every default filled in, and what policy would say. */
export const RequestExplanation = v.object({
  environment: v.string(),
  tier: v.string(),
  task: v.string(),
  /** Seconds. */
  ttl: v.number(),
  targets: v.array(
    v.object({
      name: v.string(),
      type: v.string(),
      delivery: Delivery,
      revocability: v.string(),
      /** Names of the variables that its credential would set in a child, and of those that it would take away. */
      variables: v.array(v.string()),
      unset: v.array(v.string()),
    }),
  ),
  today: Explanation,
})
export type RequestExplanation = v.InferOutput<typeof RequestExplanation>
