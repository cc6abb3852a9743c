import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatMarkerLine, type MarkerLine } from '../../src/lib/marker-line.ts'
import { hookScript } from '../../src/shell/hook.ts'

/** Shells that can be run here; CI has to have them all. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** A shell with none of the person's own settings. */
export const BARE: Readonly<Record<Shell, readonly [string, ...string[]]>> = {
  bash: ['bash', '--norc', '--noprofile'],
  zsh: ['zsh', '-f'],
  fish: ['fish', '--no-config'],
}

const LOAD: Readonly<Record<Shell, string>> = {
  bash: `PS1='> '; eval "$HOOK"`,
  zsh: `PROMPT='> '; eval "$HOOK"`,
  fish: 'echo -n $HOOK | source',
}

/** As a shell does before it shows a prompt; then what it would show. */
const PROMPT: Readonly<Record<Shell, string>> = {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
  bash: '__jit_hook; printf "%s\\0%s\\0" "$JIT_PROMPT" "${PS1@P}"',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
  zsh: '__jit_hook; printf "%s\\0%s\\0" "$JIT_PROMPT" "${(%)PROMPT}"',
  fish: 'emit fish_prompt; printf "%s\\0%s\\0" "$JIT_PROMPT" (fish_mode_prompt | string collect; or echo)"> "',
}

export interface Shown {
  /** `$JIT_PROMPT`. */
  readonly text: string
  readonly prompt: string
}

/** A runtime directory of its own, with what `jit` would have left there. */
export class Runtime implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'jit-shell-'))
  readonly grants = join(this.directory, 'run/jit/grants')
  readonly env: Record<string, string> = {
    PATH: process.env.PATH ?? '',
    HOME: this.directory,
    XDG_RUNTIME_DIR: join(this.directory, 'run'),
    TMPDIR: this.directory,
    TERM: 'xterm',
    LANG: 'C.UTF-8',
  }

  constructor() {
    mkdirSync(this.grants, { recursive: true, mode: 0o700 })
  }

  /** Leaves the marker of a grant that this process holds. @returns its path */
  hold(id: string, marker: Partial<MarkerLine> & { left?: number } = {}): string {
    const { left = 770, ...given } = marker
    const expires = Math.floor(Date.now() / 1000) + left
    const line = { expires, environment: 'prod', tier: 'production', task: 'deploy' }
    return this.leave(id, formatMarkerLine({ ...line, agent: undefined, holder: self(), ...given }))
  }

  leave(name: string, text: string): string {
    const file = join(this.grants, name)
    writeFileSync(file, text, { mode: 0o600 })
    return file
  }

  /** What a shell shows, its hook loaded and `commands` run before. */
  shown(shell: Shell, commands = '', env: Record<string, string> = {}): Shown {
    const [text = '', prompt = ''] = this.run(shell, `${commands}\n${PROMPT[shell]}`, env).split(
      '\0',
    )
    return { text, prompt }
  }

  /** What commands write, in a shell with its hook. */
  run(shell: Shell, commands: string, env: Record<string, string> = {}): string {
    const [file, ...args] = BARE[shell]
    return execFileSync(file, [...args, '-c', `${LOAD[shell]}\n${commands}`], {
      env: { ...this.#hooked(shell), ...env },
      cwd: this.directory,
      encoding: 'utf8',
      timeout: 10_000,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** How many processes a shell starts that shows so many prompts, itself included. */
  processesOf(shell: Shell, prompts: number): number {
    const log = join(this.directory, 'strace')
    const script = [LOAD[shell], ...Array<string>(prompts).fill(PROMPT[shell]), 'exit 0'].join('\n')
    const calls = 'trace=clone,clone3,fork,vfork,execve'
    const command = [...BARE[shell], '-c', script]
    execFileSync('strace', ['-f', '-qq', '-e', calls, '-o', log, ...command], {
      env: this.#hooked(shell),
      stdio: 'ignore',
    })
    // fish starts threads when it likes.
    const lines = readFileSync(log, 'utf8').split('\n')
    return lines.filter((line) => line.includes('(') && !line.includes('CLONE_THREAD')).length
  }

  #hooked(shell: Shell): Record<string, string> {
    return { ...this.env, HOOK: hookScript(shell, { prompt: true }) }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** This process, as a marker names it. */
export function self(): MarkerLine['holder'] {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const started = stat.slice(stat.lastIndexOf(') ') + 2).split(' ')[19]
  return { pid: process.pid, started }
}
