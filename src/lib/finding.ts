import { JitError } from './errors.ts'

/**
 * How something was found: `note` is nothing wrong, with something to gain; a `warning` will be a problem, or is one
 * for some; a `problem` keeps something from working.
 */
export type FindingState = 'ok' | 'note' | 'warning' | 'problem'

/** What was found, and what to do about it. */
export interface Finding {
  readonly check: string
  readonly state: FindingState
  readonly message: string
  readonly hint?: string
}

/** Looks, once: what is thrown is a problem. */
export async function examine(
  check: string,
  look: () => Promise<Omit<Finding, 'check'>>,
): Promise<Finding> {
  try {
    return { check, ...(await look()) }
  } catch (thrown) {
    const { message, hint } = JitError.from(thrown)
    return { check, state: 'problem', message, ...(hint === undefined ? {} : { hint }) }
  }
}
