import type { ErrorCode } from '../../lib/errors.ts'

/** What a target is asked to do, as far as it is timed. */
export type TargetOperation = 'mint' | 'renew' | 'revoke'

/** One HTTP request that was answered. */
export interface Answered {
  readonly method: string
  /** The pattern that matched, never the path: `/v1/grants/:id`. */
  readonly route: string
  readonly status: number
  readonly seconds: number
}

/** What the broker counts and times. Nothing here names a person, a grant or a session. */
export interface Metrics {
  /** A call to a target ended; `failure` where it did not succeed. */
  target(call: {
    readonly target: string
    readonly operation: TargetOperation
    readonly seconds: number
    readonly failure?: ErrorCode
  }): void
  /** A transaction of the store ended. */
  transaction(done: { readonly seconds: number; readonly failed: boolean }): void
  /** Something was added to the audit log; `task` and `outcome` of a request's first answer. */
  recorded(entry: {
    readonly event: string
    readonly request?: { readonly task: string; readonly outcome: string }
  }): void
  /** So long it took to add to the audit log. */
  appended(seconds: number): void
  /** Somebody was told that something did not succeed. */
  refused(code: ErrorCode): void
  answered(request: Answered): void
}

/** Where nobody looks, nothing is counted. */
export const unmeasured: Metrics = {
  target() {},
  transaction() {},
  recorded() {},
  appended() {},
  refused() {},
  answered() {},
}
