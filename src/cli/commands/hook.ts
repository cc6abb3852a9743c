import { Argument, type Command } from 'commander'
import { HOOK_SHELLS, type HookShell } from '../../shell/hook.ts'
import type { Deps } from '../deps.ts'
import type { Exit } from '../program.ts'

export interface HookOptions {
  readonly prompt: boolean
}

export function registerHook(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('hook')
    .description('print what a shell evaluates to show live grants in its prompt')
    .addArgument(new Argument('<shell>', 'the shell').choices(HOOK_SHELLS))
    .option('--no-prompt', 'only keep JIT_PROMPT up to date, for a prompt that shows it itself')
    .action(async (shell: HookShell, options: HookOptions) =>
      exit(await runHook(shell, options, deps)),
    )
}

export async function runHook(
  shell: HookShell,
  { prompt }: HookOptions,
  { io }: Deps,
): Promise<number> {
  const { hookScript } = await import('../../shell/hook.ts')
  io.out(hookScript(shell, { prompt }))
  return 0
}
