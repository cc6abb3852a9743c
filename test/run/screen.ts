import type { IPty } from '@lydell/node-pty'
import type { Home } from './home.ts'

/** A terminal with what was written on it, and how the program on it ended. */
export class Screen {
  text = ''
  readonly #pty: IPty
  readonly #changed = new Set<() => void>()
  readonly ended: Promise<{ exitCode: number; signal?: number | undefined }>

  constructor(home: Home, command: readonly string[]) {
    const [file = '', ...args] = command
    this.#pty = home.terminal(file, args)
    this.#pty.onData((data) => {
      this.text += data
      for (const changed of this.#changed) changed()
      this.#changed.clear()
    })
    this.ended = new Promise((resolve) => this.#pty.onExit(resolve))
  }

  async shows(what: string | RegExp): Promise<void> {
    while (this.text.search(what) < 0) {
      await new Promise<void>((resolve) => this.#changed.add(resolve))
    }
  }

  /** Hangs up, as closing a terminal's window does. */
  close(): void {
    this.#pty.kill()
  }

  resize(columns: number, rows: number): void {
    this.#pty.resize(columns, rows)
  }

  type(keys: string): void {
    this.#pty.write(keys)
  }
}
