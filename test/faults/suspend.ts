import { readdirSync, readFileSync } from 'node:fs'

/** A process and all that it started, suspended, as by a machine that is put to sleep. */
export class Asleep implements Disposable {
  readonly #all: readonly number[]

  constructor(pid: number) {
    this.#all = familyOf(pid)
    for (const one of this.#all) process.kill(one, 'SIGSTOP')
  }

  wake(): void {
    for (const one of this.#all) {
      // Some end as soon as they are woken.
      if (parentOf(one) !== undefined) process.kill(one, 'SIGCONT')
    }
  }

  [Symbol.dispose](): void {
    this.wake()
  }
}

/** A process and its children, and theirs. */
function familyOf(pid: number): number[] {
  const children = readdirSync('/proc')
    .map(Number)
    .filter((other) => other > 0 && parentOf(other) === pid)
  return [pid, ...children.flatMap(familyOf)]
}

/** proc(5): the command's name, which may hold anything, is in parentheses. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    // It ended meanwhile.
    return undefined
  }
}
