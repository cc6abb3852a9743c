import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Deps } from '../deps.ts'

interface BrokerOptions {
  readonly config: string
}

/** `jit broker`: the control behind the client. */
export function registerBroker(program: Command, deps: Deps, exit: (code: number) => void): void {
  program
    .command('broker')
    .description('serve the broker')
    .requiredOption('--config <file>', 'its broker.yaml')
    .addHelpText('after', '\nSIGHUP reads the policies again; a bad set never replaces a good one.')
    .action(async (options: BrokerOptions) => exit(await runBroker(options, deps)))
}

/** Serves until it is interrupted; the log goes to stderr. */
export async function runBroker(options: BrokerOptions, deps: Deps): Promise<number> {
  const { startBroker } = await import('../../broker/broker.ts')
  const { loadConfig } = await import('../../broker/config/load.ts')
  const { targetKinds } = await import('../../targets/kinds.ts')
  const { failpoints } = await import('../../broker/failpoints.ts')
  const { createLog } = await import('../../broker/log.ts')
  const { serve } = await import('../serving.ts')
  const log = createLog(deps.io.note, deps.clock.now)
  deps.interrupted.throwIfAborted()
  await serve({
    log,
    hangup: () => 'reload',
    start: async () =>
      startBroker({
        config: await loadConfig(resolve(deps.cwd, options.config), targetKinds),
        env: deps.env,
        clock: deps.clock,
        log,
        failpoint: failpoints(deps.env.JIT_BROKER_DANGEROUSLY_DIE_AT),
      }),
    reload: (broker) => broker.reload(),
    stop: (broker) => broker.stop(),
  })
  return 0
}
