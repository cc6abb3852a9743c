import * as v from 'valibot'
import { Name } from './values.ts'

/** A sign-in that policy wants, in the terms of RFC 9470 section 3. */
export const SignInObligation = v.object({
  /** Seconds since the person really signed in, at most. */
  max_age: v.number(),
  /** One of these authentication contexts; none named: any. */
  acr_values: v.array(v.string()),
})
export type SignInObligation = v.InferOutput<typeof SignInObligation>

/** Approval by so many different members of a group. */
export const ApprovalObligation = v.object({ group: Name, people: v.picklist([1, 2]) })
export type ApprovalObligation = v.InferOutput<typeof ApprovalObligation>

/** The least that would turn a denial into a permit: all of it is needed. */
export const Obligation = v.object({
  sign_in: v.exactOptional(SignInObligation),
  approvals: v.array(ApprovalObligation),
})
export type Obligation = v.InferOutput<typeof Obligation>
