import type { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import { grantExplanationLines } from '../explanation-text.ts'
import { type Answer, failureOf } from './answer.ts'
import type { Call } from './call.ts'

/**
 * Why policy says what it says of a request, and what would change it.
 * @throws JitError `not_found`
 */
export async function explainDenial({ grant }: { grant: string }, call: Call): Promise<Answer> {
  const explanation = await call.connection.client.explain(grant)
  const lines = grantExplanationLines(explanation).map(escapeForDisplay)
  const { today } = explanation
  return {
    lines,
    data: {
      outcome: 'explained',
      grant,
      ...(today === undefined ? {} : { decision: today.decision }),
      ...(today?.obligation === undefined ? {} : { would_help: today.obligation }),
      explanation: lines,
    },
  }
}

/**
 * A denial with its explanation, where there is one.
 * @param grant what it was said of, where the error doesn't name it
 * @throws the error, if it is none
 */
export async function denialOf(
  error: JitError,
  call: Call,
  grant: string | undefined = error.grant,
): Promise<Answer> {
  if (error.code !== 'denied' || grant === undefined) throw error
  const why = await explainDenial({ grant }, call).catch(() => undefined)
  return failureOf(error, { grant, lines: why?.lines })
}
