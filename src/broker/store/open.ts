import type { Clock } from '../../lib/clock.ts'
import type { StoreConfig } from '../config/config.ts'
import type { Log } from '../log.ts'
import type { Store } from './store.ts'

/**
 * Opens the store that `store:` names.
 * @param resolve what a reference stands for
 * @param beside for an operator's act: a broker may be serving it
 * @throws JitError `config_invalid`, `store_failed`
 */
export async function openStore(
  config: StoreConfig,
  {
    clock,
    log,
    resolve,
    beside = false,
  }: { clock: Clock; log: Log; resolve: (reference: string) => string; beside?: boolean },
): Promise<Store> {
  if (config.kind === 'sqlite') {
    const { openSqliteStore } = await import('./sqlite.ts')
    return openSqliteStore(config.path, clock, { beside })
  }
  const { openPostgresStore } = await import('./postgres.ts')
  const { url } = config
  return openPostgresStore(url.startsWith('postgres') ? url : resolve(url), log, { beside })
}
