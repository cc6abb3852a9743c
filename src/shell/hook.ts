import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Shells that there is a hook for. */
export const HOOK_SHELLS = ['bash', 'zsh', 'fish', 'pwsh'] as const
export type HookShell = (typeof HOOK_SHELLS)[number]

interface HookFile {
  /** Beside this module. */
  readonly file: string
  /** Said first by who shows `$JIT_PROMPT` himself. */
  readonly noPrompt: string
}

const HOOKS: Readonly<Record<HookShell, HookFile>> = {
  bash: { file: 'hook.bash', noPrompt: '__jit_no_prompt=1' },
  zsh: { file: 'hook.zsh', noPrompt: 'typeset -g __jit_no_prompt=1' },
  fish: { file: 'hook.fish', noPrompt: 'set -g __jit_no_prompt 1' },
  pwsh: { file: 'hook.ps1', noPrompt: '$global:__jit_no_prompt = $true' },
}

/**
 * What a shell evaluates when it starts, to show live grants in its prompt.
 * @param prompt whether the prompt is changed; else only the variable `JIT_PROMPT` is kept
 */
export function hookScript(shell: HookShell, { prompt }: { prompt: boolean }): string {
  const { file, noPrompt } = HOOKS[shell]
  const script = readFileSync(join(import.meta.dirname, file), 'utf8').trimEnd()
  return prompt ? script : `${noPrompt}\n${script}`
}
