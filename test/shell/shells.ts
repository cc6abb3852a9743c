import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Home } from '../run/home.ts'

export const COMPLETIONS = join(import.meta.dirname, '../../completions')

/** Where the package of that name has its functions for bash. */
export const BASH_COMPLETION = '/usr/share/bash-completion/bash_completion'

/** What the broker, a colleague or a repository might say to whoever presses Tab. */
const HOSTILE = '$(touch pwned) `touch pwned`; "; touch pwned # \'; touch pwned; %F{red} [x] \\'

/** A home with a `jit` on PATH that answers completion with fixed lines, hostile ones among them. */
export class ShellHome extends Home {
  constructor() {
    super()
    const bin = join(this.directory, 'bin')
    mkdirSync(bin)
    const answers = {
      environments: ['dev\tdevelopment', `prod\t${HOSTILE}`],
      tasks: ['deploy\tat once', 'plan\tneeds approval'],
      labels: ['model=\tstring'],
      profiles: ['ship\tdeploy in prod'],
      grants: [`g_01\t${HOSTILE}`, 'g_02\tplan in dev', '$(touch pwned)\tx', '-rf\tx', 'a;b\tx'],
    }
    for (const [what, lines] of Object.entries(answers)) {
      writeFileSync(join(bin, what), `${lines.join('\n')}\n`)
    }
    const jit = [
      '#!/bin/sh',
      `echo "$*" >> ${join(bin, 'asked')}`,
      `[ "$1" = __complete ] && cat ${join(bin, '$2')} 2>/dev/null`,
      'echo trouble >&2',
    ]
    writeFileSync(join(bin, 'jit'), `${jit.join('\n')}\n`)
    chmodSync(join(bin, 'jit'), 0o755)
    this.env.PATH = `${bin}:${this.env.PATH}`
    this.env.TERM = 'xterm'
  }

  /** What `jit` was called with. */
  get asked(): string[] {
    const file = join(this.directory, 'bin/asked')
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
  }

  /** Whether a shell evaluated what it was answered. */
  get pwned(): boolean {
    return existsSync(join(this.directory, 'pwned'))
  }

  /** What a script prints, a line each. @throws Error with what it wrote on stderr, if anything */
  lines(shell: readonly string[], script: string): string[] {
    const [file = '', ...args] = shell
    const { stdout, stderr } = spawnSync(file, [...args, '-c', script], {
      cwd: this.directory,
      env: this.env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    if (stderr !== '') throw new Error(stderr)
    return stdout.split('\n').filter((line) => line !== '')
  }
}
