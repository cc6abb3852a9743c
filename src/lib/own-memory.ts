import { readFileSync, writeFileSync } from 'node:fs'

/** Which of a process's memory a core dump holds (core(5)); what a process starts inherits it. */
const FILTER = '/proc/self/coredump_filter'
const NOTHING = '0'

let before: string | undefined

/** Leaves what this process holds in memory out of its core dumps: on Linux, elsewhere nothing changes. */
export function leaveMemoryOutOfCores(): void {
  try {
    before ??= `0x${readFileSync(FILTER, 'utf8').trim()}`
    writeFileSync(FILTER, NOTHING)
  } catch {
    // No Linux, or no /proc: docs/security.md says what is left.
  }
}

/** Starts another program as it would be without `jit`: its core dumps are its own matter. */
export function withCoresAsBefore<T>(start: () => T): T {
  if (before === undefined) return start()
  writeFileSync(FILTER, before)
  try {
    return start()
  } finally {
    writeFileSync(FILTER, NOTHING)
  }
}

/** Where a debugger can be attached to this process, and read all that it holds. */
export function debuggerAddress(): string | undefined {
  return process.getBuiltinModule('node:inspector').url()
}
