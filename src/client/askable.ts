import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { Paths } from '../lib/paths.ts'
import { Askable } from '../protocol/askable.ts'
import { parseJson } from '../protocol/parse.ts'

/** How long an answer is good for, in milliseconds. */
const FRESH_MS = 10 * 60_000
/** More than anybody works in at once. */
const MOST_KEPT = 64

/** Whose answer it is, and for where. */
export interface AskableKey {
  readonly broker: string
  /** The copilot whose session it is; absent: the person's own. */
  readonly agent?: string | undefined
  readonly repository: string
  readonly branch: string
}

const folderIn = (paths: Pick<Paths, 'cache'>) => join(paths.cache, 'askable')

function fileOf(paths: Pick<Paths, 'cache'>, key: AskableKey): string {
  const { broker, agent = '', repository, branch } = key
  const text = JSON.stringify([broker, agent, repository, branch])
  const name = createHash('sha256').update(text).digest('hex').slice(0, 32)
  return join(folderIn(paths), `${name}.json`)
}

/**
 * What could be asked for within the last ten minutes; `undefined` where that isn't known. Touches
 * nothing but one small file: fit for completion.
 */
export function readCachedAskable(
  paths: Pick<Paths, 'cache'>,
  key: AskableKey,
): Askable | undefined {
  const path = fileOf(paths, key)
  try {
    // The file's time is finer than the clock's.
    const age = Date.now() - Math.floor(statSync(path).mtimeMs)
    if (age < 0 || age > FRESH_MS) return undefined
    return parseJson(Askable, readFileSync(path, 'utf8'), { what: path })
  } catch {
    return undefined
  }
}

/**
 * Asks, and keeps the answer. A file that can't be written is no reason to fail.
 * @param ask `() => client.askable(…)`, without `all` and for every environment; its signal bounds the wait
 * @throws JitError whatever `ask` throws
 */
export async function refreshAskable(
  paths: Pick<Paths, 'cache'>,
  key: AskableKey,
  ask: () => Promise<Askable>,
): Promise<Askable> {
  const askable = await ask()
  const path = fileOf(paths, key)
  try {
    mkdirSync(folderIn(paths), { recursive: true, mode: 0o700 })
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, JSON.stringify(askable), { mode: 0o600 })
    renameSync(draft, path)
    removeOldest(folderIn(paths))
  } catch {
    // A read-only home: it is asked again next time.
  }
  return askable
}

/** Whoever signs in or out is somebody else to the broker. */
export function forgetAskable(paths: Pick<Paths, 'cache'>): void {
  try {
    rmSync(folderIn(paths), { recursive: true, force: true })
  } catch {
    // It is forgotten in ten minutes anyway.
  }
}

function removeOldest(folder: string): void {
  const files = readdirSync(folder).map((name) => join(folder, name))
  if (files.length <= MOST_KEPT) return
  const byAge = files
    .map((path) => ({ path, at: statSync(path).mtimeMs }))
    .sort((one, other) => other.at - one.at)
  for (const { path } of byAge.slice(MOST_KEPT)) rmSync(path, { force: true })
}
