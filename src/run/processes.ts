import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'

/** One process, told from a later one of the same number by when it started. */
export interface Process {
  /** What kill(2) takes. */
  readonly pid: number
  /** What /proc calls it: another number where that belongs to an outer PID namespace, as in a sandbox. */
  readonly entry: number
  readonly parent: number
  readonly started: string
  /** One letter of proc(5): `T` stopped, `Z` gone but not yet waited for. */
  readonly state: string
  readonly group: number
  /** The foreground process group of its terminal, -1 without one. */
  readonly foreground: number
}

const HAS_PROC = process.platform === 'linux'

/** All processes that run, those already gone but not waited for left out. */
export function listProcesses(): Process[] {
  return (HAS_PROC ? listFromProc() : parsePs('-A')).filter(({ state }) => !state.startsWith('Z'))
}

/** One process; nothing where there is none. */
export function findProcess(pid: number): Process | undefined {
  if (!HAS_PROC) return parsePs('-p', String(pid))[0]
  return depth() > 1 ? listFromProc().find((found) => found.pid === pid) : readStat(pid)
}

/**
 * Whether a process was started with this variable. False for those of other users, whose
 * environment can't be read, and everywhere but on Linux.
 */
export function startedWith({ entry }: Process, name: string, value: string): boolean {
  if (!HAS_PROC) return false
  try {
    return readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0').includes(`${name}=${value}`)
  } catch {
    return false
  }
}

/** Whether a process ignores a signal. False where that can't be read, and everywhere but on Linux. */
export function ignores({ entry }: Process, signal: NodeJS.Signals): boolean {
  if (!HAS_PROC) return false
  try {
    const status = readFileSync(`/proc/${entry}/status`, 'utf8')
    // proc_pid_status(5): a bit for each signal, in hexadecimal.
    const [, ignored = '0'] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status) ?? []
    return ((BigInt(`0x${ignored}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n
  } catch {
    return false
  }
}

function listFromProc(): Process[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((found) => found !== undefined)
  return depth() > 1 ? asKillSees(all) : all
}

let levels: number | undefined

/** In how many PID namespaces this process is that /proc knows of. */
function depth(): number {
  levels ??= numbersOf('self').length
  return levels
}

/** By the numbers of this namespace (pid_namespaces(7)); of others beside or around it there are none. */
function asKillSees(all: readonly Process[]): Process[] {
  const pids = new Map<number, number>()
  const within = withinNamespace(all)
  for (const { entry } of all) {
    const pid = within.has(entry) ? numbersOf(entry)[depth() - 1] : undefined
    if (pid !== undefined) pids.set(entry, pid)
  }
  return all.flatMap((one) => {
    const pid = pids.get(one.entry)
    return pid === undefined ? [] : [{ ...one, pid, parent: pids.get(one.parent) ?? 0 }]
  })
}

/** Those of this PID namespace, and of the ones that were made in it. */
function withinNamespace(all: readonly Process[]): Set<number> {
  const own = namespaceOf('self')
  const within = new Set(all.map(({ entry }) => entry).filter((one) => namespaceOf(one) === own))
  for (let before = -1; before !== within.size; ) {
    before = within.size
    for (const { entry, parent } of all) if (within.has(parent)) within.add(entry)
  }
  return within
}

function namespaceOf(entry: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${entry}/ns/pid`)
  } catch {
    return undefined
  }
}

/** proc_pid_status(5): `NSpid` has its number in each namespace, that of /proc first and its own last. */
function numbersOf(entry: number | 'self'): number[] {
  try {
    const status = readFileSync(`/proc/${entry}/status`, 'utf8')
    const [, numbers = ''] = /^NSpid:\s*(.*)$/m.exec(status) ?? []
    return numbers.split(/\s+/).map(Number)
  } catch {
    return []
  }
}

/** proc_pid_stat(5): the name in parentheses may hold anything, so fields count from the last `)`. */
function readStat(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state = '', parent, group, , , foreground] = fields
    const started = fields[19] ?? ''
    return {
      pid,
      entry: pid,
      parent: Number(parent),
      started,
      state,
      group: Number(group),
      foreground: Number(foreground),
    }
  } catch {
    return undefined
  }
}

function parsePs(...selection: string[]): Process[] {
  const columns = 'pid=,ppid=,pgid=,tpgid=,state=,lstart='
  let table = ''
  try {
    table = execFileSync('ps', [...selection, '-o', columns], { encoding: 'utf8' })
  } catch {
    return []
  }
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((cells) => cells.length > 5)
    .map(([pid, parent, group, foreground, state = '', ...started]) => ({
      pid: Number(pid),
      entry: Number(pid),
      parent: Number(parent),
      group: Number(group),
      foreground: Number(foreground),
      state,
      started: started.join(' '),
    }))
}
