import type { AskableTarget, AskableTask } from '../protocol/askable.ts'
import { obligationText } from './obligation-text.ts'

/** What policy would say, in a few words: `waits for platform-oncall`. */
export function answerText({ answer, targets }: AskableTask): string {
  if (answer === 'permit') return 'granted at once'
  if (answer === 'depends') return 'it depends on the request'
  if (answer === 'denied') return 'denied'
  const wants = targets.flatMap(wanted)
  const needs = [...new Set(wants)].join('; ')
  return answer === 'sign_in' ? `wants ${needs}` : `waits for ${needs}`
}

function wanted({ obligation }: AskableTarget): string[] {
  return obligation ? [obligationText(obligation)] : []
}
