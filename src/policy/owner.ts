import type { TaskQuestion } from './question.ts'

/**
 * What an agent asks, as asked by its owner: an agent gets a permit only where this gets one too.
 * `undefined` for people and pipelines, who ask for themselves.
 */
export function ownerQuestion(question: TaskQuestion): TaskQuestion | undefined {
  const { kind, owner = '', groups } = question.principal
  if (kind !== 'agent') return undefined
  return { ...question, principal: { kind: 'human', id: owner, name: owner, groups } }
}
