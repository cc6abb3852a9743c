import type { CommandNode } from './command-tree.ts'
import { bashCompletion } from './completion-bash.ts'
import { fishCompletion } from './completion-fish.ts'
import { pwshCompletion } from './completion-pwsh.ts'
import { zshCompletion } from './completion-zsh.ts'

/** Shells with a completion script, and what the file of each is called. */
export const COMPLETION_FILES = {
  bash: 'jit.bash',
  zsh: '_jit',
  fish: 'jit.fish',
  pwsh: 'jit.ps1',
} as const
export type CompletionShell = keyof typeof COMPLETION_FILES

const SCRIPTS: Readonly<Record<CompletionShell, (root: CommandNode) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
  pwsh: pwshCompletion,
}

/** The script that completes the command line of `root` in a shell. */
export function completionScript(shell: CompletionShell, root: CommandNode): string {
  return SCRIPTS[shell](root)
}
