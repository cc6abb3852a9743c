import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type AskableKey, readCachedAskable, refreshAskable } from '../client/askable.ts'
import { placeIn } from '../context/context.ts'
import { findRepository } from '../context/git-dir.ts'
import type { Askable, AskableAnswer, AskableTask } from '../protocol/askable.ts'
import { chosenAgent } from './agent.ts'
import {
  type Candidate,
  type Completing,
  given,
  renewingClient,
  restingClient,
  soon,
} from './complete-from.ts'
import { configuredBroker } from './connect.ts'

type What = 'environments' | 'tasks' | 'targets' | 'labels'

/** What a process of its own is asked to do, so that the next Tab knows more. */
export const REFRESH = 'refresh'
/** One at a time, in milliseconds: more than it takes to find out that nobody answers. */
const AGAIN_AFTER = 15_000

/** Names to choose from, of what may be asked for here. */
export function askableValues(what: What) {
  return async (from: Completing): Promise<Candidate[]> => {
    const askable = await askableHere(from)
    return askable ? VALUES[what](askable, from.words) : []
  }
}

const VALUES: Readonly<Record<What, (askable: Askable, words: readonly string[]) => Candidate[]>> =
  {
    environments: ({ environments }) =>
      environments.map(({ name, tier, tasks }) => ({
        value: name,
        about: `${tier}: ${tasks.map((task) => task.name).join(', ')}`,
      })),
    tasks: (askable, words) =>
      merged(
        tasksIn(askable, words).map(({ environment, task }) => [
          task.name,
          `${environment}: ${ANSWERS[task.answer]}`,
        ]),
      ),
    targets: (askable, words) => {
      const wanted = given(words, '--task')
      const tasks = tasksIn(askable, words).filter(
        ({ task }) => wanted === undefined || task.name === wanted,
      )
      const pairs = tasks.flatMap(({ environment, task }) =>
        task.targets.map(({ name, type }) => [name, `${environment}: ${type}`] as const),
      )
      return merged(pairs)
    },
    labels: ({ labels }) =>
      Object.entries(labels).map(([name, type]) => ({ value: `${name}=`, about: type })),
  }

const ANSWERS: Readonly<Record<AskableAnswer, string>> = {
  permit: 'at once',
  sign_in: 'after a fresh sign-in',
  approval: 'needs approval',
  depends: 'depends on what else is said',
  denied: 'denied',
}

function tasksIn({ environments }: Askable, words: readonly string[]) {
  const wanted = given(words, '--env')
  return environments
    .filter(({ name }) => wanted === undefined || name === wanted)
    .flatMap(({ name: environment, tasks }) =>
      tasks.map((task: AskableTask) => ({ environment, task })),
    )
}

/** One candidate a name, with all that is said of it. */
function merged(pairs: readonly (readonly [string, string])[]): Candidate[] {
  const found = new Map<string, Set<string>>()
  for (const [name, about] of pairs) found.set(name, (found.get(name) ?? new Set()).add(about))
  return [...found].map(([value, abouts]) => ({ value, about: [...abouts].join('; ') }))
}

/** As it was known lately; else as the broker says in time; else unknown, but not the next time. */
async function askableHere(from: Completing): Promise<Askable | undefined> {
  const here = await whereFrom(from)
  if (!here) return undefined
  const cached = readCachedAskable(from.paths, here.key)
  if (cached) return cached
  const client = await restingClient(from)
  if (!client) return undefined
  const asking = refreshAskable(from.paths, here.key, () => client.askable(here.place))
  const askable = await soon(asking, from.signal)
  if (!askable) await refreshInBackground(from)
  return askable
}

async function whereFrom(from: Completing) {
  const broker = await configuredBroker(from)
  if (broker === undefined) return undefined
  const place = placeIn(findRepository(from.cwd))
  const { repository, branch } = place
  const key: AskableKey = { broker, agent: chosenAgent(from.env), repository, branch }
  return { key, place }
}

/** Leaves the question to a process that may take its time, and renew the session if it must. */
async function refreshInBackground({ paths, clock, cwd }: Completing): Promise<void> {
  const [, program] = process.argv
  const tried = join(paths.cache, 'completion-asked')
  const age = clock.now() - (statSync(tried, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  if (program === undefined || (age >= 0 && age < AGAIN_AFTER)) return
  mkdirSync(paths.cache, { recursive: true, mode: 0o700 })
  writeFileSync(tried, '', { mode: 0o600 })
  const { spawn } = await import('node:child_process')
  const options = { cwd, detached: true, stdio: 'ignore' } as const
  spawn(process.execPath, [program, '__complete', REFRESH], options).unref()
}

/** @throws JitError whatever keeps the broker from answering */
export async function refreshForNextTime(from: Completing): Promise<void> {
  const here = await whereFrom(from)
  const client = here && (await renewingClient(from))
  if (client) await refreshAskable(from.paths, here.key, () => client.askable(here.place))
}
