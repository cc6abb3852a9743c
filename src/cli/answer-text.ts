import { ASKABLE_ANSWERS, type AskableTarget } from '../protocol/askable.ts'
import { obligationText } from './obligation-text.ts'

/** What policy would say to a task at all of these, in a few words: `waits for platform-oncall`. */
export function answerText(targets: readonly AskableTarget[]): string {
  const ranks = targets.map(({ answer }) => ASKABLE_ANSWERS.indexOf(answer))
  const hardest = ASKABLE_ANSWERS[Math.max(0, ...ranks)]
  if (hardest === 'permit') return 'granted at once'
  if (hardest === 'depends') return 'it depends on the request'
  if (hardest === 'denied') return 'denied'
  const wanted = targets.flatMap(({ obligation }) =>
    obligation ? [obligationText(obligation)] : [],
  )
  const needs = [...new Set(wanted)].join('; ')
  return hardest === 'sign_in' ? `wants ${needs}` : `waits for ${needs}`
}
