import { escapeForDisplay } from '../../lib/escape.ts'
import { grantExplanationLines } from '../explanation-text.ts'
import type { Answer } from './answer.ts'
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
