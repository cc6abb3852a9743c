import * as v from 'valibot'

/** An error on the wire: RFC 9457 problem details with a stable `code`. */
export const Problem = v.object({
  /** `about:blank`-style URI reference of the code: `/problems/denied`. */
  type: v.string(),
  title: v.string(),
  status: v.number(),
  code: v.string(),
  detail: v.string(),
  hint: v.exactOptional(v.string()),
  /** For `insufficient_user_authentication` (RFC 9470 section 3). */
  max_age: v.exactOptional(v.number()),
  acr_values: v.exactOptional(v.array(v.string())),
  /** For a denial: the ids of the policies that said so. */
  policies: v.exactOptional(v.array(v.string())),
  /** For `limit_reached`, where waiting helps: seconds. */
  retry_after: v.exactOptional(v.number()),
  /** For a denial of what was asked ahead: the id that it is recorded under, and explained by. */
  grant: v.exactOptional(v.string()),
})
export type Problem = v.InferOutput<typeof Problem>

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'
