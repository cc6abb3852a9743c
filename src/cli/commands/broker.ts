import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { JitError } from '../../lib/errors.ts'
import { debuggerAddress } from '../../lib/own-memory.ts'
import type { Deps } from '../deps.ts'
import { registerAdopt } from './broker/adopt.ts'
import { registerQuarantine } from './broker/quarantine.ts'
import { registerRestored } from './broker/restored.ts'
import { registerRotateKeys } from './broker/rotate-keys.ts'

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const

interface BrokerOptions {
  readonly config: string
  readonly logLevel?: (typeof LOG_LEVELS)[number]
}

/** `jit broker`: the control behind the client. */
export function registerBroker(program: Command, deps: Deps, exit: (code: number) => void): void {
  const broker = program
    .command('broker')
    .description('serve the broker')
    .requiredOption('--config <file>', 'its broker.yaml')
    .addOption(
      new Option('--log-level <level>', 'how much it logs').choices(LOG_LEVELS).default('info'),
    )
    .addHelpText('after', '\nSIGHUP reads the policies again; a bad set never replaces a good one.')
    .action(async (options: BrokerOptions) => exit(await runBroker(options, deps)))
  registerRotateKeys(broker, deps, exit)
  registerQuarantine(broker, deps, exit)
  registerAdopt(broker, deps, exit)
  registerRestored(broker, deps, exit)
}

/** @throws JitError `usage` */
function refuseDebugger(): void {
  const address = debuggerAddress()
  if (address === undefined) return
  throw new JitError('usage', `a debugger could read every secret, at ${address}`, {
    hint: 'start it without --inspect, in NODE_OPTIONS as well',
  })
}

/** Serves until it is interrupted; the log goes to stderr. @throws JitError `usage` with a debugger */
export async function runBroker(options: BrokerOptions, deps: Deps): Promise<number> {
  refuseDebugger()
  const { startBroker } = await import('../../broker/broker.ts')
  const { loadConfig } = await import('../../broker/config/load.ts')
  const { targetKinds } = await import('../../targets/kinds.ts')
  const { failpoints } = await import('../../broker/failpoints.ts')
  const { createLog } = await import('../../broker/log.ts')
  const { serve } = await import('../serving.ts')
  const log = createLog(deps.io.note, { now: deps.clock.now, level: options.logLevel ?? 'info' })
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
        failpoint: failpoints(deps.env),
      }),
    reload: (broker) => broker.reload(),
    stop: (broker) => broker.stop(),
  })
  return 0
}
