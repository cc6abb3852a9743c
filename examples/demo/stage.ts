import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { dyingWithParent } from '../../test/servers/postgres.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const JIT = join(ROOT, 'bin', 'jit.js')
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Of the caller's environment, nothing else: a TF_VAR_… or PGHOST there would be obeyed. */
const KEPT = ['LANG', 'LC_ALL', 'TERM', 'COLORTERM', 'SYSTEMROOT']
/** How long what was asked to end may take, in milliseconds. */
const PATIENCE = 15_000

/** Whoever watches wants it to stop. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`)
    this.signal = signal
  }

  get exitCode(): number {
    return 128 + constants.signals[this.signal]
  }
}

export interface Running {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Each line of stdout and stderr, in the order in which they were written. */
  readonly onLine?: (line: string) => void
}

/** A temporary directory with all that the demo makes, and the programs that it started. */
export class Stage implements AsyncDisposable {
  readonly directory: string
  readonly #coloured: boolean
  readonly #interrupted = new AbortController()
  readonly #endings: (() => Promise<void>)[] = []
  readonly #onSignal = (signal: NodeJS.Signals) => this.#interrupted.abort(new Interrupted(signal))
  readonly #onClosed = () => this.#onSignal('SIGPIPE')

  /** @param options.coloured whether programs may write escape sequences */
  static async open({ coloured }: { coloured: boolean }): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'jit-demo-')), coloured)
  }

  private constructor(directory: string, coloured: boolean) {
    this.directory = directory
    this.#coloured = coloured
    for (const signal of SIGNALS) process.on(signal, this.#onSignal)
    // `npm run demo | head`: whoever reads has seen enough.
    process.stdout.on('error', this.#onClosed)
    // What is copied here finds its packages, and is read as modules, as in a project of its own.
    symlinkSync(join(ROOT, 'node_modules'), this.path('node_modules'))
    writeFileSync(this.path('package.json'), '{ "type": "module" }\n')
    writeFileSync(this.path('terraform.rc'), '')
  }

  get interrupted(): AbortSignal {
    return this.#interrupted.signal
  }

  path(...names: string[]): string {
    return join(this.directory, ...names)
  }

  /** Called when the demo is over, the last one first. */
  atEnd(ending: () => Promise<void>): void {
    this.#endings.push(ending)
  }

  /** The environment of a person with an empty home directory of that name. */
  #environment(home: string): Record<string, string> {
    const kept = KEPT.flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value] as const]
    })
    return {
      ...Object.fromEntries(kept),
      PATH: [dirname(process.execPath), process.env.PATH ?? ''].join(delimiter),
      HOME: this.path(home),
      XDG_RUNTIME_DIR: this.path(home, 'run'),
      TMPDIR: this.directory,
      JIT_KEYSTORE: 'file',
      TF_CLI_CONFIG_FILE: this.path('terraform.rc'),
      CHECKPOINT_DISABLE: '1',
      ...(this.#coloured ? { FORCE_COLOR: '1' } : { NO_COLOR: '1', TF_CLI_ARGS: '-no-color' }),
    }
  }

  /**
   * Runs `jit` to its end as the person with that home directory.
   * @returns its exit code
   */
  jit(home: string, words: readonly string[], running: Running = {}): Promise<number> {
    return this.run([process.execPath, JIT, ...words], { home, ...running })
  }

  /** @throws Interrupted once the program has ended, where it was to end early */
  async run(words: readonly string[], running: Running & { home: string }): Promise<number> {
    this.interrupted.throwIfAborted()
    // One pipe for both, so that their lines stay in order.
    const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', ...words], {
      cwd: running.cwd ?? this.directory,
      env: { ...this.#environment(running.home), ...running.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const interrupt = () => void this.#interrupt(child)
    this.interrupted.addEventListener('abort', interrupt)
    const lines = createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY })
    lines.on('line', (line) => running.onLine?.(line))
    const [code] = (await once(child, 'close')) as [number | null]
    this.interrupted.removeEventListener('abort', interrupt)
    this.interrupted.throwIfAborted()
    return code ?? 1
  }

  /** At a terminal Ctrl-C has reached the program already; it gets the time to give back what it has. */
  async #interrupt(child: ChildProcess): Promise<void> {
    const { signal } = this.interrupted.reason as Interrupted
    await end(child, { after: signal === 'SIGINT' ? 1_000 : 0, signal: 'SIGTERM' })
  }

  /**
   * Starts `jit` in the background, beyond the reach of Ctrl-C: it ends last, when all was given back.
   * @returns its first line
   */
  async serve(words: readonly string[], log: string): Promise<string> {
    this.interrupted.throwIfAborted()
    const stderr = openSync(log, 'a', 0o600)
    const child = spawn(...dyingWithParent(process.execPath, [JIT, ...words]), {
      cwd: this.directory,
      env: this.#environment('operator'),
      stdio: ['ignore', 'pipe', stderr],
      detached: true,
    })
    closeSync(stderr)
    this.atEnd(async () => {
      await end(child, { after: 0, signal: 'SIGINT' })
      if (child.exitCode !== 0) throw new Error(`jit ${words[0]} did not stop in order`)
    })
    if (child.stdout) {
      for await (const line of createInterface({ input: child.stdout })) return line
    }
    throw new Error(`jit ${words[0]} did not start`)
  }

  /** @throws Error the first that an ending throws, once all of them had their turn */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = []
    for (const ending of this.#endings.reverse()) {
      await ending().catch((failure: unknown) => failures.push(failure))
    }
    await rm(this.directory, { recursive: true, force: true })
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
    if (failures.length > 0) throw failures[0]
  }
}

/** Waits, asks, and insists. */
async function end(
  child: ChildProcess,
  { after, signal }: { after: number; signal: NodeJS.Signals },
): Promise<void> {
  const exited = once(child, 'exit').then(() => true)
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  if (isOver() || (await Promise.race([exited, wait(after, false)]))) return
  child.kill(signal)
  if (await Promise.race([exited, wait(PATIENCE, false, { ref: false })])) return
  child.kill('SIGKILL')
  await exited
}
