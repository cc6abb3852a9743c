import type { Delivery } from '../protocol/delivery.ts'
import type { Principal } from '../protocol/principal.ts'
import type { ClaimedContext, Command } from '../protocol/request.ts'

/** How and when the principal signed in. */
interface Authentication {
  /** `acr` of the identity token, `""` where it has none. */
  readonly acr: string
  readonly amr: readonly string[]
  /** `auth_time`, in milliseconds since the epoch; unknown counts as long ago. */
  readonly at: number | undefined
}

/** Whether a commit is on its branch at the forge, and the branch protected; false where unknown. */
export interface ForgeAnswer {
  readonly commitOnBranch: boolean
  readonly branchProtected: boolean
}

/** What a request for a task is decided on, beside who, what and where. */
export interface RequestContext {
  /** What an issuer signed, `""` where none did. */
  readonly signed: {
    readonly repository: string
    readonly branch: string
    readonly commit: string
  }
  readonly claimed: ClaimedContext
  /** What the forge says of it. */
  readonly forge?: ForgeAnswer
  readonly command: Command
  readonly reason: string
  readonly breakGlass: boolean
  readonly ticket: string
  readonly labels: Readonly<Record<string, string | boolean | number>>
  /** Seconds. */
  readonly ttl: number
  readonly delivery: Delivery
  readonly authentication: Authentication
  /** Groups of which a member approved; of which two different members did; those people's ids. */
  readonly approvals?: readonly string[]
  readonly approvalsByTwo?: readonly string[]
  readonly approvers?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** What is the same whatever the target. */
export type SharedContext = Omit<RequestContext, 'delivery'>

/** May this principal do this task at this target? One target at a time. */
export interface TaskQuestion {
  readonly principal: Principal
  readonly task: string
  readonly target: string
  readonly context: RequestContext
}

/** The grant that is to be seen, approved or revoked. */
export interface GrantResource {
  readonly id: string
  readonly principal: Pick<Principal, 'kind' | 'id' | 'owner'>
  readonly environment: string
  readonly task: string
  readonly tier: string
}

/** How an approver showed who they are: with their session, or a sign-in newer than the request. */
export const APPROVAL_METHODS = ['session', 'reauth'] as const
export type ApprovalMethod = (typeof APPROVAL_METHODS)[number]

/** May this principal see, approve or revoke this grant, offboard somebody, read the audit log, or reach a domain? */
export type BuiltInQuestion = {
  readonly principal: Principal
  readonly context: Pick<RequestContext, 'authentication' | 'now'>
} & (
  | { readonly action: 'view' | 'revoke'; readonly grant: GrantResource }
  | {
      readonly action: 'approve'
      readonly grant: GrantResource
      readonly method: ApprovalMethod
    }
  /** Ends all of their sessions, and refuses the sign-ins that they came of. */
  | { readonly action: 'offboard'; readonly whom: Principal }
  | { readonly action: 'audit' }
  /** From a sandbox: `api.example.com`, `*.example.com`, `api.example.com:8443`. */
  | {
      readonly action: 'reach'
      readonly domain: string
      readonly profile: string
      readonly program: string
    }
)
