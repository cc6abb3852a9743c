import { formatDuration, parseDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { nearest } from '../lib/nearest.ts'
import type { Askable, AskableEnvironment, AskableTask } from '../protocol/askable.ts'
import { parse } from '../protocol/parse.ts'
import { Name } from '../protocol/values.ts'
import { answerText } from './answer-text.ts'
import type { InitOptions } from './commands/init.ts'
import type { Deps } from './deps.ts'
import type { NewProfile } from './init-document.ts'

/** What a profile is made from: flags first, then answers, then what is usual. */
export interface Making {
  readonly options: InitOptions
  /** With what would be denied. */
  readonly askable: Askable
  /** Whether a person answers what no flag does. */
  readonly asks: boolean
  /** Commands that a task here is probably for. */
  readonly suggest: (task: string) => readonly string[]
  /** Names that are taken. */
  readonly taken: readonly string[]
}

/**
 * One profile.
 * @throws JitError `usage` for a flag that is missing, or names what there isn't; `denied` where nothing may
 *   be asked for; `cancelled`
 */
export async function newProfile(making: Making, deps: Deps): Promise<NewProfile> {
  const environment = await environmentOf(making, deps)
  const task = await taskOf(environment, making, deps)
  const targets = await targetsOf(task, making, deps)
  const chosen = task.targets.filter(({ name }) => targets.includes(name))
  const usualTtl = Math.min(...chosen.map(({ ttl }) => ttl.default))
  const most = Math.min(...chosen.map(({ ttl }) => ttl.max))
  const ttl = await ttlOf({ usual: usualTtl, most }, making, deps)
  const suggested = making.suggest(task.name)
  const commands = await commandsOf(suggested, making, deps)
  const name = await nameOf({ environment: environment.name, task: task.name }, making, deps)
  const about = { tier: environment.tier, answer: answerText(chosen), usualTtl, suggested }
  if (chosen.some(({ answer }) => answer === 'denied')) {
    deps.io.note(`policy denies you ${task.name} in ${environment.name} today: others may have it`)
  }
  return {
    ...{ name, environment: environment.name, task: task.name, targets, commands, about },
    ...(ttl === undefined ? {} : { ttl }),
  }
}

/** Targets that may be asked for. */
const openIn = ({ targets }: AskableTask) => targets.filter(({ answer }) => answer !== 'denied')
const mayBeAsked = (task: AskableTask) => openIn(task).length > 0

async function environmentOf(
  { options, askable, asks }: Making,
  { prompt }: Deps,
): Promise<AskableEnvironment> {
  if (options.env !== undefined) return named('environment', options.env, askable.environments)
  const open = askable.environments.filter(({ tasks }) => tasks.some(mayBeAsked))
  const [only, ...others] = open
  if (!only) {
    throw new JitError('denied', 'there is nothing that you may ask for here', {
      hint: 'whoever runs the broker says who may: jit whoami shows your groups',
    })
  }
  if (others.length === 0) return only
  if (!asks) throw missing('--env', open)
  const chosen = await prompt.select({
    message: 'which environment?',
    choices: open.map(({ name, tier, tasks }) => ({
      name: `${name} (${tier}): ${tasks
        .filter(mayBeAsked)
        .map((task) => task.name)
        .join(', ')}`,
      value: name,
    })),
    flag: '--env',
  })
  return named('environment', chosen, open)
}

async function taskOf(
  { name: environment, tasks }: AskableEnvironment,
  { options, asks }: Making,
  { prompt }: Deps,
): Promise<AskableTask> {
  if (options.task !== undefined) return named(`task in ${environment}:`, options.task, tasks)
  const open = tasks.filter(mayBeAsked)
  const [only, ...others] = open
  if (only && others.length === 0) return only
  if (!asks) throw missing('--task', open)
  const chosen = await prompt.select({
    message: `which task in ${environment}?`,
    choices: open.map((task) => ({
      name: `${task.name}: ${answerText(openIn(task))}`,
      value: task.name,
    })),
    flag: '--task',
  })
  return named('task', chosen, open)
}

async function targetsOf(
  task: AskableTask,
  { options, asks }: Making,
  { prompt }: Deps,
): Promise<string[]> {
  const { targets } = task
  if (options.target) {
    const what = `target with the task ${task.name}:`
    return options.target.map((name) => named(what, name, targets).name)
  }
  const open = openIn(task)
  const names = (open.length > 0 ? open : targets).map(({ name }) => name)
  if (!asks || names.length < 2) return names
  return prompt.checkbox({
    message: 'at which targets?',
    choices: names.map((name) => ({ name, value: name, checked: true })),
    flag: '--target',
  })
}

async function ttlOf(
  { usual, most }: { usual: number; most: number },
  { options, asks }: Making,
  { prompt, io }: Deps,
): Promise<number | undefined> {
  if (options.ttl !== undefined) return atMost(most, parseDuration(options.ttl))
  if (!asks) return undefined
  const standard = formatDuration(usual).replaceAll(' ', '')
  for (;;) {
    const message = `for how long? (at most ${formatDuration(most)})`
    const text = await prompt.input({ message, default: standard, flag: '--ttl' })
    if (text === standard) return undefined
    try {
      return atMost(most, parseDuration(text))
    } catch (thrown) {
      io.note(JitError.from(thrown).message)
    }
  }
}

function atMost(most: number, ttl: number): number {
  if (ttl <= most) return ttl
  throw new JitError('usage', `--ttl: the targets allow at most ${formatDuration(most)}`)
}

async function commandsOf(
  suggested: readonly string[],
  { options, asks }: Making,
  { prompt }: Deps,
): Promise<string[]> {
  if (options.command) return [...options.command]
  if (!asks) return []
  const text = await prompt.input({
    message: 'for which commands? (* for anything, a comma between; - for none)',
    default: suggested.length > 0 ? suggested.join(', ') : '-',
    flag: '--command',
  })
  return text
    .split(',')
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '' && pattern !== '-')
}

async function nameOf(
  { environment, task }: { environment: string; task: string },
  { options, asks, taken }: Making,
  { prompt, io }: Deps,
): Promise<string> {
  if (options.name !== undefined) return freeName(options.name, taken)
  const usual = taken.includes(task) ? `${task}-${environment}` : task
  if (!asks) return usual
  for (;;) {
    const question = { message: 'what is it called?', default: usual, flag: '--name' }
    try {
      return freeName(await prompt.input(question), taken)
    } catch (thrown) {
      const { code, message } = JitError.from(thrown)
      if (code !== 'usage') throw thrown
      io.note(message)
    }
  }
}

/** @throws JitError `usage` for what isn't a name, or is another profile's */
function freeName(text: string, taken: readonly string[]): string {
  const name = parse(Name, text, { what: `'${text}'`, code: 'usage' })
  if (!taken.includes(name)) return name
  throw new JitError('usage', `there are two profiles called '${name}'`)
}

function named<T extends { readonly name: string }>(
  what: string,
  name: string,
  known: readonly T[],
): T {
  const found = known.find((one) => one.name === name)
  if (found) return found
  const names = known.map((one) => one.name)
  const meant = nearest(name, names)
  throw new JitError('usage', `there is no ${what} '${name}'`, {
    hint: meant ? `did you mean '${meant}'?` : `there are: ${names.join(', ') || 'none'}`,
  })
}

function missing(flag: string, known: readonly { readonly name: string }[]): JitError {
  return new JitError('usage', `${flag} is missing`, {
    hint: `one of: ${known.map(({ name }) => name).join(', ')}`,
  })
}
