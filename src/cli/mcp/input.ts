import * as v from 'valibot'
import { Name, text } from '../../protocol/values.ts'
import type { AskOptions } from '../ask-flags.ts'

const CommandLine = v.pipe(
  v.array(v.string()),
  v.minLength(1, 'expected a command'),
  v.description(
    'The program and its arguments, one string each. No shell: no pipes, globs or $VARIABLES.',
  ),
)

const Directory = v.pipe(
  text(4096),
  v.description('Where it runs; below one of the roots. Absent: the first root.'),
)

/** The id of a grant. */
export const GrantId = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected a grant id'))

/** What is asked for. */
const ASKED = {
  environment: v.exactOptional(v.pipe(Name, v.description('Such as dev, staging, prod.'))),
  task: v.exactOptional(
    v.pipe(Name, v.description('What is to be done, such as plan, deploy, migrate.')),
  ),
  profile: v.exactOptional(
    v.pipe(
      Name,
      v.description('A profile of the .jit.yaml there, instead of environment and task.'),
    ),
  ),
  targets: v.exactOptional(
    v.pipe(
      v.array(Name),
      v.description('Only these systems. Absent: all that the task has there.'),
    ),
  ),
  ttl: v.exactOptional(v.pipe(text(32), v.description('For how long, such as 15m.'))),
  reason: v.exactOptional(v.pipe(text(2000), v.description('Why. Approvers read it.'))),
  ticket: v.exactOptional(v.pipe(text(256), v.description('The ticket it belongs to.'))),
  labels: v.exactOptional(
    v.pipe(
      v.record(v.string(), v.union([v.string(), v.boolean(), v.pipe(v.number(), v.integer())])),
      v.description('Labels that the broker declares.'),
    ),
  ),
}

export const RequestInput = v.strictObject({
  ...ASKED,
  command: v.pipe(
    CommandLine,
    v.description('What will be run on it, word for word: approval is for that.'),
  ),
  directory: v.exactOptional(Directory),
})
export type RequestInput = v.InferOutput<typeof RequestInput>

const seconds = (most: number) =>
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(most, `expected at most ${most}`))

export const RunInput = v.strictObject({
  command: CommandLine,
  directory: v.exactOptional(Directory),
  grant: v.exactOptional(
    v.pipe(
      GrantId,
      v.description('An approved request of this very command. Absent: say environment and task.'),
    ),
  ),
  ...ASKED,
  stdin: v.exactOptional(
    v.pipe(v.string(), v.description('What the command reads. Absent: nothing.')),
  ),
  timeout_seconds: v.exactOptional(
    v.pipe(seconds(86_400), v.minValue(1), v.description('Stops the command after so long.')),
  ),
  wait_seconds: v.optional(
    v.pipe(
      seconds(3600),
      v.description('How long to wait for an approval before answering pending.'),
    ),
    30,
  ),
})
export type RunInput = v.InferOutput<typeof RunInput>

export const ListInput = v.strictObject({})

export const GrantInput = v.strictObject({ grant: GrantId })

/** The same as flags would say it. */
export function askOptions(input: Omit<RequestInput, 'directory'>): AskOptions {
  const { environment, task, profile, targets, ttl, reason, ticket, labels, command } = input
  return {
    command,
    ...(environment === undefined ? {} : { env: environment }),
    ...(task === undefined ? {} : { task }),
    ...(profile === undefined ? {} : { profile }),
    ...(targets === undefined ? {} : { target: targets }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(reason === undefined ? {} : { reason }),
    ...(ticket === undefined ? {} : { ticket }),
    ...(labels === undefined ? {} : { label: Object.entries(labels).map(labelFlag) }),
  }
}

function labelFlag([name, value]: [string, string | boolean | number]): string {
  return typeof value === 'string' ? `${name}=${value}` : `${name}:=${value}`
}

const FLAGS: Readonly<Record<string, string>> = {
  '--env': 'environment',
  '--target': 'targets',
  '--label': 'labels',
}

/** An error of the command line in the words of the tools: what is a flag there is a field here. */
export function inFields(message: string): string {
  return message.replace(
    /--(?:env|task|targets?|ttl|reason|ticket|label|grant)\b/g,
    (flag) => FLAGS[flag] ?? flag.slice(2),
  )
}
