import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type IPty, spawn as spawnOnTerminal } from '@lydell/node-pty'
import { newSessionKey } from '../../src/auth/proof.ts'
import { writeSession } from '../../src/auth/session.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { pathsFrom } from '../../src/lib/paths.ts'

export const JIT = resolve(import.meta.dirname, '../../bin/jit.js')

/** Code that is compiled once for all homes: each would start with none. */
export const COMPILED = { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? '' }

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

/** A person's home directory of its own, with the built CLI to run in it. */
export class Home implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'jit-test-'))
  readonly env: Record<string, string>
  readonly #children = new Set<ChildProcess>()

  constructor() {
    this.env = {
      PATH: process.env.PATH ?? '',
      HOME: this.directory,
      XDG_RUNTIME_DIR: join(this.directory, 'run'),
      JIT_KEYSTORE: 'file',
      LANG: 'C.UTF-8',
      ...COMPILED,
    }
  }

  /** Leaves a session at `broker`, as a sign-in would have: the person's, or a copilot's. */
  async signIn(broker: string, agent?: string): Promise<void> {
    this.env.JIT_BROKER = broker
    const keystore = await openKeystore({ env: this.env, paths: pathsFrom(this.env) })
    const hour = Date.now() + 3_600_000
    await writeSession(keystore, {
      broker,
      ...(agent === undefined ? {} : { agent }),
      issuer: 'http://127.0.0.1:1',
      client_id: 'jit-cli',
      access_token: 'token-of-the-test',
      access_token_expires_at: hour,
      session_expires_at: new Date(hour).toISOString(),
      jwk: newSessionKey(),
      principal: { kind: 'human', id: 'idp/1', name: 'dev', groups: [] },
    })
  }

  /** Starts `jit` with pipes. */
  start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
    const child = spawn(process.execPath, [JIT, ...args], {
      cwd: this.directory,
      env: { ...this.env, ...env },
    })
    this.#children.add(child)
    return child
  }

  async run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    const child = this.start(args, env)
    child.stdin?.end()
    return ended(child)
  }

  /** Starts a program on a terminal of its own. */
  terminal(file: string, args: readonly string[]): IPty {
    return spawnOnTerminal(file, [...args], { cwd: this.directory, env: this.env })
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill('SIGKILL')
    // A program that was just killed may have written until now.
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}

/** How a process that was started with pipes ended, and what it wrote. */
export async function ended(child: ChildProcess): Promise<Ended> {
  const stdout = collect(child.stdout)
  const stderr = collect(child.stderr)
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  return { code, signal, stdout: stdout(), stderr: stderr() }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = []
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString()
}
