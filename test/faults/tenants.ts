import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Home, JIT } from '../run/home.ts'

const PROGRAM = join(import.meta.dirname, 'tenant.ts')

export interface TenantOptions {
  readonly flags?: readonly string[]
  /** In a process group of its own, to be ended as a whole. */
  readonly apart?: boolean
  /** The command as it is to be started, where that isn't right here. */
  readonly within?: (command: readonly string[]) => readonly string[]
}

/** `jit exec` around a program that holds a session at the target and notes what becomes of it. */
export class Tenant implements Disposable {
  readonly jit: ChildProcess
  readonly ended: Promise<{ code: number | null; signal: string | null }>
  readonly #file: string
  stderr = ''

  constructor(
    home: Home,
    { flags = [], apart = false, within = (command) => command }: TenantOptions = {},
  ) {
    this.#file = join(home.directory, `notes-${randomUUID()}`)
    const asks = ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'dev-db', ...flags]
    const args = [JIT, ...asks, '--', process.execPath, PROGRAM, this.#file]
    const [program = '', ...rest] = within([process.execPath, ...args])
    this.jit = spawn(program, rest, {
      cwd: home.directory,
      env: home.env,
      detached: apart,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.jit.stderr?.on('data', (chunk) => {
      this.stderr += String(chunk)
    })
    this.ended = once(this.jit, 'exit').then(([code, signal]) => ({ code, signal }))
  }

  /** What the program noted, line by line. */
  get notes(): string[] {
    if (!existsSync(this.#file)) return []
    return readFileSync(this.#file, 'utf8').trim().split('\n')
  }

  /** Resolves with the first note that begins so. @throws Error after `seconds` */
  async note(start: string, seconds = 30): Promise<string> {
    const deadline = performance.now() + seconds * 1000
    for (;;) {
      const found = this.notes.find((line) => line.startsWith(start))
      if (found) return found
      if (performance.now() > deadline) {
        throw new Error(
          `no '${start}' after ${seconds} s: ${this.notes.join(', ')}; ${this.stderr}`,
        )
      }
      await wait(20)
    }
  }

  /** The name of its role, once it is in. */
  async role(): Promise<string> {
    return (await this.note('in ')).slice('in '.length)
  }

  [Symbol.dispose](): void {
    this.jit.kill('SIGKILL')
  }
}
