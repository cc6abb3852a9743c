import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { JIT } from '../run/home.ts'

export interface BrokerProcessOptions {
  /** Its broker.yaml. */
  readonly config: string
  readonly env: Readonly<Record<string, string>>
  /** The step to die at: `mint:created`, `revoke:undone:3`, … */
  readonly dieAt?: string | undefined
  /** The step to be suspended at. */
  readonly stopAt?: string | undefined
  /** Milliseconds after which it is killed where it doesn't serve by then. */
  readonly dieAfter?: number | undefined
}

type Entry = Readonly<Record<string, unknown>>

/** `jit broker` as a process of its own. */
export class BrokerProcess implements AsyncDisposable {
  readonly process: ChildProcess
  /** What it logged so far. */
  readonly entries: Entry[] = []
  readonly #gone: Promise<unknown>
  #port = 0

  private constructor(process: ChildProcess) {
    this.process = process
    this.#gone = once(process, 'exit')
  }

  /** Starts it, and waits until it serves. @throws Error with its log where it doesn't */
  static async start(options: BrokerProcessOptions): Promise<BrokerProcess> {
    const { config, env, dieAt, stopAt, dieAfter } = options
    const child = spawn(process.execPath, [JIT, 'broker', '--config', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        PATH: process.env.PATH ?? '',
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? '',
        ...env,
        ...(dieAt === undefined ? {} : { JIT_BROKER_DANGEROUSLY_DIE_AT: dieAt }),
        ...(stopAt === undefined ? {} : { JIT_BROKER_DANGEROUSLY_STOP_AT: stopAt }),
      },
    })
    const broker = new BrokerProcess(child)
    const early = dieAfter && setTimeout(() => child.kill('SIGKILL'), dieAfter)
    await broker.#serving().finally(() => clearTimeout(early))
    return broker
  }

  async #serving(): Promise<void> {
    const { stderr } = this.process
    if (!stderr) throw new Error('expected a pipe')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const unread: string[] = []
    createInterface({ input: stderr })
      .on('line', (line) => {
        const entry = entryOf(line)
        if (!entry) unread.push(line)
        else this.entries.push(entry)
        if (entry?.message !== 'serving') return
        this.#port = Number(entry.port)
        resolve()
      })
      .on('close', () => {
        const log = this.entries.map((entry) => JSON.stringify(entry))
        reject(new Error(`jit broker did not start: ${[...log, ...unread].join('\n')}`))
      })
    await promise
  }

  /** Where it listens. */
  get port(): number {
    return this.#port
  }

  get pid(): number {
    return this.process.pid ?? 0
  }

  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  /** Resolves when the process is gone, however that came. */
  async gone(): Promise<void> {
    await this.#gone
  }

  /** As by `kill -9`, stopped or not. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.#gone
  }

  /** As a service manager does. */
  async stop(): Promise<void> {
    if (!this.alive) return
    this.process.kill('SIGCONT')
    this.process.kill('SIGTERM')
    await this.#gone
  }

  /** Whether it is suspended, where /proc shows it. */
  get stopped(): boolean {
    return /^State:\s+T/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8'))
  }

  /** Suspended, as by a debugger or a virtual machine that is moved. */
  freeze(): void {
    this.process.kill('SIGSTOP')
  }

  thaw(): void {
    this.process.kill('SIGCONT')
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

function entryOf(line: string): Entry | undefined {
  try {
    return JSON.parse(line) as Entry
  } catch {
    return undefined
  }
}
