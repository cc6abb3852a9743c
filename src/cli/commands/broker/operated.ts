import { resolve } from 'node:path'
import type { Command } from 'commander'
import { JitError } from '../../../lib/errors.ts'
import type { Deps } from '../../deps.ts'

type Operations = import('../../../broker/operations.ts').Operations

/** What every act of an operator takes; `--config` stands at `jit broker` itself. */
export interface OperatorOptions {
  readonly config: string
}

/** Says in its usage that a command takes what `jit broker` takes. */
export function takesConfig(command: Command): Command {
  return command.usage('--config <file> [options]')
}

/** Does something with the ledger of a configuration, as whoever may read its store and seal key. */
export async function operate<T>(
  { config: file }: OperatorOptions,
  deps: Deps,
  work: (operations: Operations) => Promise<T>,
): Promise<T> {
  const { openOperations } = await import('../../../broker/operations.ts')
  const { createLog } = await import('../../../broker/log.ts')
  const { loadConfig } = await import('../../../broker/config/load.ts')
  const { targetKinds } = await import('../../../targets/kinds.ts')
  const config = await loadConfig(resolve(deps.cwd, file), targetKinds)
  const log = createLog(deps.io.note, { now: deps.clock.now })
  const operations = await openOperations({ config, env: deps.env, clock: deps.clock, log })
  try {
    return await work(operations)
  } finally {
    await operations.close()
  }
}

/**
 * Asks before what can't be taken back.
 * @throws JitError `cancelled`, `usage`: there is nobody to ask
 */
export async function confirm(
  question: string,
  { yes }: { readonly yes?: boolean },
  deps: Deps,
): Promise<void> {
  const asked = { message: question, default: false, flag: '--yes', afresh: true }
  if (yes || (await deps.prompt.confirm(asked))) return
  throw new JitError('cancelled', 'nothing was changed')
}
