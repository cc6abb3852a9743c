import type {
  AnswerExplanation,
  Explanation,
  GrantExplanation,
  RecordedDecision,
} from '../protocol/explanation.ts'
import { obligationText } from './obligation-text.ts'

type Attributes = AnswerExplanation['policies'][number]['attributes']

/** What policies say to a request and why, as lines for people. Names and values are still to be escaped. */
export function explanationLines(what: string, explanation: Explanation): string[] {
  return [
    ...headLines(what, explanation),
    ...explanation.answers.flatMap(answerLines),
    `policies ${explanation.version.slice(0, 12)}`,
  ]
}

function headLines(what: string, explanation: Explanation): string[] {
  const { decision, obligation, then_permitted = [], outside } = explanation
  if (outside) return [`${what}: denied, ${outside.join(', ')}: outside what the session was given`]
  if (!obligation) return [`${what}: ${decision === 'permit' ? 'permitted' : 'denied'}`]
  const then = then_permitted.join(', ')
  return [`${what}: waits for ${obligationText(obligation)}, then permitted by ${then}`]
}

function answerLines({ target, asked, ...answer }: AnswerExplanation): string[] {
  const whose = asked === 'owner' ? 'asked for its owner' : ''
  const where = [target, whose].filter((part) => part).join(', ')
  return [
    `  ${where === '' ? '' : `${where}: `}${outcome(answer)}`,
    ...answer.policies.flatMap(({ id, effect, description, attributes }) => [
      `    ${effect} ${id}${aside(description)}`,
      ...attributeLines(attributes),
    ]),
    ...answer.near.flatMap(({ id, description, unmet }) => [
      `    permit ${id} doesn't apply${aside(description)}`,
      ...unmet.flatMap(({ condition, attributes }) => [
        `      not so: ${condition}`,
        ...attributeLines(attributes),
      ]),
    ]),
  ]
}

function outcome({ effect, because }: Pick<AnswerExplanation, 'effect' | 'because'>): string {
  if (effect === 'permit') return 'permitted'
  if (because === 'error') return 'could not be decided'
  if (because === 'unnamed-delivery')
    return "in an agent's environment only by a permit that names context.delivery"
  return because === 'forbidden' ? 'forbidden' : 'no policy permits it'
}

const aside = (description: string | undefined) =>
  description === undefined ? '' : ` (${description})`

const attributeLines = (attributes: Attributes) =>
  Object.entries(attributes).map(([path, value]) => `        ${path} = ${valueText(value)}`)

function valueText(value: unknown): string {
  return value === null ? 'absent' : JSON.stringify(value)
}

/** A decision as it was recorded, one line a target. */
function recordedLines({ at, event, version, decisions }: RecordedDecision): string[] {
  return [
    `${at} ${event}, policies ${version.slice(0, 12)}`,
    ...decisions.map(({ target, effect, policies }) => {
      const said = effect === 'permit' ? 'permitted' : 'denied'
      return `  ${target}: ${said} by ${policies.join(', ') || 'no policy'}`
    }),
  ]
}

/** All that is known of why a grant was decided as it was. Names and values are still to be escaped. */
export function grantExplanationLines({
  environment,
  task,
  today,
  recorded,
}: GrantExplanation): string[] {
  const what = `${task} in ${environment}`
  return [
    'as recorded:',
    ...recorded.flatMap((decision) => recordedLines(decision).map((line) => `  ${line}`)),
    'today:',
    ...(today
      ? explanationLines(what, today).map((line) => `  ${line}`)
      : ['  nothing can be said: whoever asked, or a target, is gone']),
  ]
}
