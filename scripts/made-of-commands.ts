import { commandTree } from '../src/cli/command-tree.ts'
import type { Deps } from '../src/cli/deps.ts'
import { createProgram } from '../src/cli/program.ts'
import {
  COMPLETION_FILES,
  type CompletionShell,
  completionScript,
} from '../src/shell/completion.ts'
import { manual } from './manual.ts'

/** Files of the repository that follow from the command tree: their text, by path. */
export function madeOfCommands(): Record<string, string> {
  const root = commandTree(createProgram({} as Deps, { exit() {}, words: [] }))
  const scripts = Object.entries(COMPLETION_FILES).map(([shell, file]) => [
    `completions/${file}`,
    completionScript(shell as CompletionShell, root),
  ])
  return { ...Object.fromEntries(scripts), 'man/jit.1': manual(root) }
}
