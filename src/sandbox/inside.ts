import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { JitError } from '../lib/errors.ts'
import type { CommandOutcome } from '../protocol/lifeline.ts'
import { keepClear } from './caretaker.ts'
import type { Parts } from './parts.ts'
import { systemCallFilter } from './syscalls.ts'
import type { WrappedLine } from './wrap.ts'

/** What runs in the sandbox, as seen from outside. */
export interface Inside {
  readonly pid: number
  readonly outcome: Promise<CommandOutcome>
  signal(name: NodeJS.Signals): void
  stop(): Promise<void>
}

/** What a terminal sends to the whole foreground group. */
const TO_GROUP: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH', 'SIGHUP']

/**
 * Starts the wrapped line, in a session of its own: bubblewrap itself must not be in the terminal's
 * foreground group, whose Ctrl-C would end it and all inside.
 * @param entered called when everything is mounted, right before the command starts
 * @throws JitError `sandbox_unavailable` where the sandbox ends before it was entered
 */
export async function startInside({
  line,
  parts,
  directory,
  environment,
  folder,
  note,
  exclude,
  entered,
}: {
  line: WrappedLine
  parts: Parts
  directory: string
  environment: Readonly<Record<string, string>>
  folder: string
  /** See `noteSandbox`. */
  note: string
  /** See `keepClear`. */
  exclude: string
  entered(): void
}): Promise<Inside> {
  const filter = filterFile(folder)
  const child = spawn(parts.bash, ['-c', `ulimit -c 0; exec ${line.line}`], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe', filter],
    cwd: directory,
    env: environment,
    detached: true,
  })
  closeSync(filter)
  const pid = child.pid ?? 0
  const caretaker = keepClear({ script: parts.caretaker, pid, folder, note, exclude })
  const outcome = once(child, 'exit').then(([code, signal]) => toOutcome(code, signal))
  const [, , , ready] = child.stdio
  ready?.on('error', () => {})
  const first = await Promise.race([
    outcome,
    ready ? once(ready, 'data').then(() => undefined) : undefined,
  ])
  if (first) {
    await caretaker.clear()
    throw new JitError('sandbox_unavailable', 'the sandbox could not be entered', {
      hint: 'what bubblewrap said stands above',
    })
  }
  entered()
  ready?.destroy()
  let stopping: Promise<void> | undefined
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      // The first process of its PID namespace: the kernel ends all others with it, and it last.
      const [init] = childrenOf(pid)
      process.kill(init ?? pid, 'SIGKILL')
      await outcome
    }
    await caretaker.clear()
  }
  return {
    pid,
    outcome,
    signal: (name) => signalInside(pid, name),
    stop: () => (stopping ??= stop()),
  }
}

/** Open for bubblewrap to read, as descriptor 4 (namespaces.ts). */
function filterFile(folder: string): number {
  const path = join(folder, 'filter')
  writeFileSync(path, systemCallFilter(process.arch), { mode: 0o600 })
  return openSync(path, 'r')
}

function toOutcome(code: number | null, signal: string | null): CommandOutcome {
  const name = Object.entries(constants.signals).find(([, number]) => number + 128 === code)?.[0]
  return name ? { code: null, signal: name } : { code, signal }
}

/** The command's process is the second of the inner PID namespace, after its init. */
function signalInside(bwrap: number, name: NodeJS.Signals): void {
  const command = descendants(bwrap).find((pid) => innermostPid(pid) === '2')
  if (command === undefined) return
  const group = groupOf(command)
  const others = TO_GROUP.includes(name)
    ? descendants(command).filter((pid) => groupOf(pid) === group)
    : []
  for (const pid of [command, ...others]) {
    try {
      process.kill(pid, name)
    } catch {
      // It ended meanwhile.
    }
  }
}

function innermostPid(pid: number): string {
  const [, numbers = ''] = /^NSpid:\s*(.*)$/m.exec(read(`/proc/${pid}/status`)) ?? []
  const all = numbers.split(/\s+/)
  return all.length === 3 ? (all[2] ?? '') : ''
}

function groupOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`)
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
}

function descendants(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendants(child)])
}

/** Children of a process that has one thread, as all of bubblewrap's do. */
function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
