import type { Command } from 'commander'
import type { CompletionShell } from '../../shell/completion.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

const SHELLS: readonly CompletionShell[] = ['bash', 'zsh', 'fish', 'pwsh']

export function registerCompletion(program: Command, deps: Deps, exit: Exit): void {
  const command = program
    .command('completion')
    .description('print the script that completes jit in a shell')
  command
    .addArgument(command.createArgument('<shell>', 'your shell').choices(SHELLS))
    .action(async (shell: CompletionShell) => exit(await runCompletion(shell, { program, deps })))
}

/** Prints the same as the files of completions/. */
export async function runCompletion(
  shell: CompletionShell,
  { program, deps }: { program: Command; deps: Pick<Deps, 'io'> },
): Promise<number> {
  const { completionScript } = await import('../../shell/completion.ts')
  const { commandTree } = await import('../command-tree.ts')
  deps.io.out(completionScript(shell, commandTree(program)).trimEnd())
  return 0
}
