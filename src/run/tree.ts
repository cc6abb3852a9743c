import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../lib/clock.ts'
import { GRANT_VARIABLE } from './environment.ts'
import { findProcess, listProcesses, type Process, startedWith } from './processes.ts'

/** Milliseconds between two looks at what is left. */
const LOOK_EVERY = 50
/** How long it is tried to end what doesn't die of KILL (stuck in the kernel), in milliseconds. */
const GIVE_UP_AFTER = 10_000

/**
 * Ends a child and all it started: TERM, after the grace KILL, until a look finds none left. Its
 * process group is never touched: it holds `jit` and the rest of a pipeline. So what it started is
 * found by descent, and by the grant in its environment where a process has left its parents.
 * @param grace milliseconds
 * @returns the pids that are still there
 */
export async function stopTree({
  root,
  grant,
  grace,
  clock,
}: {
  root: number
  grant: string
  grace: number
  clock: Clock
}): Promise<number[]> {
  const seen = new Set<string>()
  const child = findProcess(root)
  if (child) seen.add(keyOf(child))
  const begun = clock.monotonic()
  let left = look(grant, seen)
  const termed = new Set<string>()
  while (left.length > 0 && clock.monotonic() - begun < grace + GIVE_UP_AFTER) {
    const kill = clock.monotonic() - begun >= grace
    for (const found of left) {
      if (kill) signalProcess(found, 'SIGKILL')
      else if (!termed.has(keyOf(found))) {
        termed.add(keyOf(found))
        signalProcess(found, 'SIGTERM')
        signalProcess(found, 'SIGCONT')
      }
    }
    await delay(LOOK_EVERY)
    left = look(grant, seen)
  }
  return left.map(({ pid }) => pid)
}

const keyOf = ({ pid, started }: Process): string => `${pid}@${started}`

/** What is alive of the tree, those seen before whose parents have died meanwhile included. */
function look(grant: string, seen: Set<string>): Process[] {
  const all = listProcesses().filter(({ pid }) => pid !== process.pid)
  const isMember = (found: Process) =>
    seen.has(keyOf(found)) || startedWith(found, GRANT_VARIABLE, grant)
  const members = new Set(all.filter(isMember).map(({ pid }) => pid))
  for (let before = -1; before !== members.size; ) {
    before = members.size
    for (const { pid, parent } of all) if (members.has(parent)) members.add(pid)
  }
  const alive = all.filter(({ pid }) => members.has(pid))
  for (const found of alive) seen.add(keyOf(found))
  return alive
}

/** Only the process that was seen: a number may have been given to another since. */
function signalProcess(seen: Process, signal: NodeJS.Signals): void {
  if (findProcess(seen.pid)?.started !== seen.started) return
  try {
    process.kill(seen.pid, signal)
  } catch {
    // Gone since, or another user's (a setuid program): nothing that could be done.
  }
}
