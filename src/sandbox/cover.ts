import { lstatSync } from 'node:fs'

/** Milliseconds between two looks: a few dozen calls of lstat. */
const LOOK_EVERY = 1000

/**
 * Watches what is mounted over, from outside: a file that is replaced there (a checkout, `git config`, an
 * editor that saves by renaming) takes the mount away (mount_namespaces(7)), and what is there by then can be
 * written inside.
 */
export class Cover implements Disposable {
  readonly #covered: Map<string, string>
  readonly #timer: NodeJS.Timeout
  readonly #uncovered: string[] = []
  readonly #listeners: ((path: string) => void)[] = []

  constructor(paths: readonly string[]) {
    const present = paths.map((path) => [path, identity(path)] as const)
    this.#covered = new Map(present.filter(([, one]) => one !== ''))
    this.#timer = setInterval(() => this.look(), LOOK_EVERY).unref()
  }

  /** Calls `listener` with each path that was replaced, also with those of before. */
  listen(listener: (path: string) => void): void {
    this.#listeners.push(listener)
    for (const path of this.#uncovered) listener(path)
  }

  look(): void {
    for (const [path, before] of this.#covered) {
      if (identity(path) === before) continue
      this.#covered.delete(path)
      this.#uncovered.push(path)
      for (const listener of this.#listeners) listener(path)
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/** A file is another with another birth: numbers are used again. */
function identity(path: string): string {
  try {
    const { dev, ino, birthtimeNs } = lstatSync(path, { bigint: true })
    return `${dev} ${ino} ${birthtimeNs}`
  } catch {
    return ''
  }
}
