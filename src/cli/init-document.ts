import { formatDuration, parseDuration } from '../lib/duration.ts'
import { escapeForDisplay } from '../lib/escape.ts'

/** One profile that is to be written. */
export interface NewProfile {
  readonly name: string
  readonly environment: string
  readonly task: string
  readonly targets: readonly string[]
  /** Seconds; absent: what the targets have as their default. */
  readonly ttl?: number
  readonly commands: readonly string[]
  /** What is known of it now, for comments. */
  readonly about: {
    readonly tier: string
    /** `waits for platform-oncall`. */
    readonly answer: string
    /** Seconds. */
    readonly usualTtl: number
    /** Commands that it could be for. */
    readonly suggested: readonly string[]
  }
}

const HEAD = `# What tasks in this repository ask for. jit exec NAME -- COMMAND asks for what NAME says here.
# Only data: it names no broker and runs nothing, and it counts for those who have looked at it
# with jit trust. More: jit help exec
version: 1
profiles:
`

/** A commented `.jit.yaml`. */
export function profileDocument(profiles: readonly NewProfile[]): string {
  return `${HEAD}${profiles.flatMap(profileLines).join('\n')}\n`
}

function profileLines(profile: NewProfile): string[] {
  const { name, environment, task, targets, ttl, commands, about } = profile
  const usual = shortly(about.usualTtl)
  const suggested = about.suggested.length > 0 ? about.suggested : ['make deploy']
  return [
    `  # ${comment(`${task} in ${environment} (${about.tier}): when this was written, ${about.answer}`)}`,
    `  ${plain(name)}:`,
    `    environment: ${plain(environment)}`,
    `    task: ${plain(task)}`,
    '    # without targets: every one that has the task',
    `    targets: [${targets.map(plain).join(', ')}]`,
    '    # then it is renewed, as policy allows, or ends',
    ttl === undefined
      ? `    # ttl: ${usual} is what the targets have as their default`
      : `    ttl: ${shortly(ttl)}`,
    '    # jit exec without a name finds the profile by its command; * stands for anything',
    commands.length > 0
      ? `    commands: ${listOf(commands)}`
      : `    # commands: ${comment(listOf(suggested))}`,
  ]
}

const listOf = (texts: readonly string[]) =>
  `[${texts.map((text) => JSON.stringify(text)).join(', ')}]`

/** Names are plain scalars, but for the words that YAML reads as something else. */
const plain = (name: string) =>
  /^(?:true|false|null|yes|no|on|off|y|n)$/.test(name) ? JSON.stringify(name) : name

/** On one line, whatever a name holds. */
const comment = (text: string) => escapeForDisplay(text).replace(/\s+/g, ' ')

/** As `parseDuration` reads it, exactly. */
function shortly(seconds: number): string {
  const text = formatDuration(seconds).replaceAll(' ', '')
  return parseDuration(text) === seconds ? text : `${seconds}s`
}
