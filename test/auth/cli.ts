import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { COMPILED, JIT } from '../run/home.ts'

/** A machine of its own for one user: an empty home, no terminal, the file keystore. */
export class Machine implements AsyncDisposable {
  readonly home: string
  readonly env: Record<string, string>

  static async create(env: Record<string, string> = {}): Promise<Machine> {
    return new Machine(await mkdtemp(join(tmpdir(), 'jit-auth-')), env)
  }

  private constructor(home: string, env: Record<string, string>) {
    this.home = home
    this.env = {
      PATH: process.env.PATH ?? '',
      HOME: home,
      JIT_KEYSTORE: 'file',
      ...COMPILED,
      ...env,
    }
  }

  /** Starts `jit`; its answers come line by line. */
  start(...args: string[]): Run {
    const child = spawn(process.execPath, [JIT, ...args], {
      env: this.env,
      cwd: this.home,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new Run(child)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.home, { recursive: true, force: true })
  }
}

/** One `jit` that runs. */
export class Run {
  readonly child: ChildProcess
  readonly out: string[] = []
  stderr = ''
  readonly #lines: AsyncIterator<string>
  readonly #ended: Promise<unknown>

  constructor(child: ChildProcess) {
    this.child = child
    if (!child.stdout || !child.stderr) throw new Error('expected pipes')
    child.stderr.on('data', (chunk) => {
      this.stderr += String(chunk)
    })
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    this.#ended = once(child, 'close')
  }

  /** The next line on stdout as JSON. */
  async event(): Promise<Record<string, unknown>> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error(`jit ended: ${this.stderr}`)
    this.out.push(value)
    return JSON.parse(value) as Record<string, unknown>
  }

  /** Waits for the end; what was left on stdout is in `out`. */
  async end(): Promise<{ code: number | null; out: string[]; stderr: string }> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) break
      this.out.push(value)
    }
    await this.#ended
    return { code: this.child.exitCode, out: this.out, stderr: this.stderr }
  }
}
