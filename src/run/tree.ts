import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../lib/clock.ts'
import { GRANT_VARIABLE } from './environment.ts'
import { findProcess, ignores, listProcesses, type Process, startedWith } from './processes.ts'

/** Milliseconds between two looks at what is left. */
const LOOK_EVERY = 50
/** How long it is tried to end what doesn't die of KILL (stuck in the kernel), in milliseconds. */
const GIVE_UP_AFTER = 10_000

/** How long before KILL a shell is hung up whatever still runs in it, in milliseconds. */
const HANG_UP_BEFORE = 1000

/**
 * Ends a child and all it started: TERM, after the grace KILL, until a look finds none left. Its
 * process group is never touched: it holds `jit` and the rest of a pipeline. So what it started is
 * found by descent, and by the grant in its environment where a process has left its parents.
 * An interactive shell ignores TERM: once what heeds it is gone, it gets HUP, as when its terminal is
 * closed, and keeps its history.
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
  const hungUp = new Set<string>()
  while (left.length > 0 && clock.monotonic() - begun < grace + GIVE_UP_AFTER) {
    const passed = clock.monotonic() - begun
    const shells = left.filter((found) => termed.has(keyOf(found)) && isInteractiveShell(found))
    if (passed >= grace) for (const found of left) signalProcess(found, 'SIGKILL')
    else signalOnce(left, { signal: 'SIGTERM', had: termed })
    if (shells.length === left.length || passed >= grace - HANG_UP_BEFORE) {
      signalOnce(shells, { signal: 'SIGHUP', had: hungUp })
    }
    await delay(LOOK_EVERY)
    left = look(grant, seen)
  }
  return left.map(({ pid }) => pid)
}

/** One with job control ignores what a terminal sends to those in the background, too: a script doesn't. */
function isInteractiveShell(found: Process): boolean {
  return ignores(found, 'SIGTERM') && ignores(found, 'SIGTTOU')
}

/** To each of them that had none yet, and to one that stands still so that it is heeded. */
function signalOnce(
  processes: readonly Process[],
  { signal, had }: { signal: NodeJS.Signals; had: Set<string> },
): void {
  for (const found of processes) {
    if (had.has(keyOf(found))) continue
    had.add(keyOf(found))
    signalProcess(found, signal)
    signalProcess(found, 'SIGCONT')
  }
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
