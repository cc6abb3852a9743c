import { performance } from 'node:perf_hooks'
import { findObligation } from '../src/policy/obligations.ts'
import type { TaskQuestion } from '../src/policy/question.ts'
import { median } from './statistics.ts'
import { migration, teams } from './team.ts'

/** A question that ends in an obligation, or in none. */
export type Ending = 'found' | 'denied'

/** The migration of one's own service waits for a sign-in and two people; nothing permits another's. */
const QUESTIONS: Record<Ending, TaskQuestion> = {
  found: migration,
  denied: { ...migration, principal: { ...migration.principal, groups: [] } },
}

/** @returns milliseconds of a decision with the search for its obligation, and of the decision alone */
export function timeObligations(
  ending: Ending,
  { policies, milliseconds }: { policies: number; milliseconds: number },
): { measured: number; floor: number } {
  const { set, vocabulary } = teams(policies)
  const question = QUESTIONS[ending]
  const alone = () => set.decide(question).effect === 'deny'
  const search = () => {
    const { permits } = set.ask(question)
    const obligation = findObligation({ ...vocabulary, permits })
    return (obligation === undefined) === (ending === 'denied')
  }
  const times = { alone: [] as number[], search: [] as number[] }
  const end = performance.now() + milliseconds
  while (performance.now() < end) {
    times.alone.push(timeOf(alone))
    times.search.push(timeOf(search))
  }
  return { measured: median(times.search), floor: median(times.alone) }
}

function timeOf(answer: () => boolean): number {
  const began = performance.now()
  const expected = answer()
  const time = performance.now() - began
  if (!expected) throw new Error('another answer was expected')
  return time
}
