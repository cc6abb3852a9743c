import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type Home, JIT } from '../run/home.ts'
import { logIn } from './log-in.ts'

export interface ControlPlaneOptions {
  readonly postgres?: string
  readonly data?: string
  readonly port?: number
  /** Beside this process's own. */
  readonly env?: Readonly<Record<string, string>>
}

/** `jit dev` as a process of its own, through the built CLI. */
export class ControlPlane implements AsyncDisposable {
  readonly process: ChildProcess
  readonly broker: string
  readonly issuer: string
  readonly #ended: Promise<unknown>
  #log = ''

  private constructor(
    process: ChildProcess,
    ready: { broker: string; issuer: string; log: () => string },
  ) {
    this.process = process
    this.broker = ready.broker
    this.issuer = ready.issuer
    this.#ended = once(process, 'exit')
    this.#log = ready.log()
    process.stderr?.on('data', (chunk) => {
      this.#log += String(chunk)
    })
  }

  /** Starts it and waits for its ready line. */
  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const flags = (['postgres', 'data', 'port'] as const).flatMap((name) =>
      options[name] === undefined ? [] : [`--${name}`, String(options[name])],
    )
    const child = spawn(process.execPath, [JIT, 'dev', '--json', ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    })
    let log = ''
    const collect = (chunk: unknown) => {
      log += String(chunk)
    }
    child.stderr.on('data', collect)
    for await (const line of createInterface({ input: child.stdout })) {
      child.stderr.off('data', collect)
      return new ControlPlane(child, { ...JSON.parse(line), log: () => log })
    }
    throw new Error(`jit dev did not start: ${log}`)
  }

  get port(): number {
    return Number(new URL(this.broker).port)
  }

  /** Everything it wrote to its log so far. */
  get log(): string {
    return this.#log
  }

  /** Signs a person in through the provider's real pages. */
  async signIn(home: Home, login: string): Promise<void> {
    await logIn(home, { broker: this.broker, login })
  }

  /** Signs a copilot in as itself; the person who confirms owns it. */
  async signInAgent(
    home: Home,
    { login, name, fresh }: { login: string; name: string; fresh?: boolean },
  ): Promise<string[]> {
    const flags = ['--agent', name, ...(fresh ? ['--fresh'] : [])]
    return logIn(home, { broker: this.broker, login, flags })
  }

  /** Resolves when the process is gone, however that came. */
  async gone(): Promise<void> {
    await this.#ended
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.#ended
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    this.process.kill('SIGTERM')
    await this.#ended
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
