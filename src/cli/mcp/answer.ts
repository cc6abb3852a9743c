import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import type { ErrorCode, JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import { inFields } from './input.ts'

/** What a tool answers: the same as lines to read and as an object. */
export interface Answer {
  readonly lines: readonly string[]
  readonly data: Readonly<Record<string, unknown>> & { readonly outcome: string }
  /** What was asked for did not come about. */
  readonly failed?: boolean
}

export function resultOf({ lines, data, failed }: Answer): CallToolResult {
  return {
    content: [{ type: 'text', text: lines.join('\n') }],
    structuredContent: { ...data },
    ...(failed ? { isError: true } : {}),
  }
}

const DENIED: readonly ErrorCode[] = ['denied', 'approval_denied']

/**
 * What went wrong, and what would help.
 * @param asked the request that it was said to, and why
 */
export function failureOf(
  error: JitError,
  asked: { grant?: string; lines?: readonly string[] | undefined } = {},
): Answer {
  const { code } = error
  const grant = asked.grant ?? error.grant
  const more = asked.lines ?? []
  const message = escapeForDisplay(inFields(error.message))
  const hint = error.hint === undefined ? undefined : escapeForDisplay(inFields(error.hint))
  const outcome = DENIED.includes(code) ? 'denied' : 'failed'
  return {
    lines: [
      `${outcome}: ${message}${grant === undefined ? '' : ` (${grant})`}`,
      ...(hint === undefined ? [] : [`what would help: ${hint}`]),
      ...more,
    ],
    data: {
      outcome,
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(grant === undefined ? {} : { grant }),
      ...(more.length === 0 ? {} : { explanation: more }),
    },
    failed: true,
  }
}
