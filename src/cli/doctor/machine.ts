import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { JitError } from '../../lib/errors.ts'
import { examine, type Finding } from '../../lib/finding.ts'
import type { Deps } from '../deps.ts'

/** What is looked up, written and removed again: no session has this name. */
const PROBE = 'doctor'

/** What of this machine `jit` stands on: where sessions rest, and the shell. */
export async function lookAtMachine(deps: Deps): Promise<Finding[]> {
  return [await examine('keystore', () => lookAtKeystore(deps)), ...lookAtShell(deps.env)]
}

async function lookAtKeystore({ keystore }: Deps): Promise<Omit<Finding, 'check'>> {
  const store = await keystore()
  await store.set(PROBE, 'probe')
  const read = await store.get(PROBE)
  await store.delete(PROBE)
  if (read !== 'probe') {
    throw new JitError('keystore_failed', 'what was written to it does not come back', {
      hint: "JIT_KEYSTORE=file keeps sessions in files of the user's own",
    })
  }
  if (store.kind === 'keychain') return { state: 'ok', message: "the system's keychain" }
  if (store.kind === 'file') {
    const message = 'files of this user alone (0600): there is no keychain, or it is not used'
    return { state: 'ok', message }
  }
  const hint = 'a session is gone with the command that began it: unset JIT_KEYSTORE'
  return { state: 'note', message: 'memory', hint }
}

/** Where each shell reads what it starts with, and where completions are looked for, from the home folder. */
const SHELLS: Readonly<Record<string, { rc: readonly string[]; completions: readonly string[] }>> =
  {
    bash: {
      rc: ['.bashrc', '.bash_profile', '.profile'],
      completions: [
        '.local/share/bash-completion/completions/jit',
        '/usr/share/bash-completion/completions/jit',
      ],
    },
    zsh: {
      rc: ['.zshrc', '.zprofile'],
      completions: [
        '/usr/share/zsh/site-functions/_jit',
        '/usr/local/share/zsh/site-functions/_jit',
      ],
    },
    fish: {
      rc: ['.config/fish/config.fish', '.config/fish/conf.d'],
      completions: [
        '.config/fish/completions/jit.fish',
        '/usr/share/fish/vendor_completions.d/jit.fish',
      ],
    },
    pwsh: { rc: ['.config/powershell'], completions: [] },
  }

const EVAL: Readonly<Record<string, (what: string) => string>> = {
  bash: (what) => `eval "$(jit ${what} bash)"`,
  zsh: (what) => `eval "$(jit ${what} zsh)"`,
  fish: (what) => `jit ${what} fish | source`,
  pwsh: (what) => `jit ${what} pwsh | Out-String | Invoke-Expression`,
}

/** Whether the shell shows grants in its prompt and completes what can be asked for: read from its files, none is run. */
function lookAtShell(env: Deps['env']): Finding[] {
  const shell = basename(env.SHELL ?? '')
  const known = SHELLS[shell]
  const home = env.HOME
  if (!known || home === undefined) return []
  const inHome = (path: string) => (path.startsWith('/') ? path : join(home, path))
  const text = known.rc.map((path) => textOf(inHome(path))).join('\n')
  const completes =
    /\bjit\s+completion\b/.test(text) || known.completions.some((path) => existsSync(inHome(path)))
  return [
    shellFinding('prompt', { shell, there: /\bjit\s+hook\b/.test(text), what: 'hook' }),
    shellFinding('completion', { shell, there: completes, what: 'completion' }),
  ]
}

function shellFinding(
  check: string,
  { shell, there, what }: { shell: string; there: boolean; what: 'hook' | 'completion' },
): Finding {
  if (there) return { check, state: 'ok', message: `${shell} has it` }
  const hint = `add to what ${shell} starts with: ${EVAL[shell]?.(what)}`
  const gain =
    what === 'hook' ? 'shows no grants in its prompt' : 'does not complete what can be asked for'
  return { check, state: 'note', message: `${shell} ${gain}`, hint }
}

/** A file's text, or that of all in a folder; nothing of what is not there. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EISDIR') return ''
  }
  try {
    return readdirSync(path)
      .map((name) => readFileSync(join(path, name), 'utf8'))
      .join('\n')
  } catch {
    return ''
  }
}
