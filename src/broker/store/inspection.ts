import type { Kysely } from 'kysely'
import { Migrator } from 'kysely/migration'
import type { StoreConfig } from '../config/config.ts'
import { migrations } from './migrations.ts'
import type { Schema } from './schema.ts'

/** A store as it lies there, whether or not a broker uses it: looked at, never changed. */
export interface StoreInspection {
  readonly db: Kysely<Schema>
  /** Steps of the schema that the next start takes first. */
  pending(): Promise<string[]>
  /** Writes, and takes it back. @throws what the database throws */
  tryWriting(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a store beside whoever uses it.
 * @param resolve what a reference stands for
 * @throws JitError `store_failed`, `config_invalid`
 */
export async function inspectStore(
  config: StoreConfig,
  resolve: (reference: string) => string,
): Promise<StoreInspection> {
  const db = await open(config, resolve)
  return {
    db,
    async pending() {
      const steps = await new Migrator({ db, provider: migrations }).getMigrations()
      return steps.filter(({ executedAt }) => !executedAt).map(({ name }) => name)
    },
    async tryWriting() {
      const taken = await db.startTransaction().execute()
      try {
        const row = { key: 'doctor', value: '' }
        await taken.insertInto('meta').values(row).execute()
      } finally {
        await taken.rollback().execute()
      }
    },
    close: () => db.destroy(),
  }
}

async function open(
  config: StoreConfig,
  resolve: (reference: string) => string,
): Promise<Kysely<Schema>> {
  if (config.kind === 'sqlite') {
    const { lookIntoSqlite } = await import('./sqlite.ts')
    return lookIntoSqlite(config.path)
  }
  const { lookIntoPostgres } = await import('./postgres.ts')
  return lookIntoPostgres(config.url.startsWith('postgres') ? config.url : resolve(config.url))
}
