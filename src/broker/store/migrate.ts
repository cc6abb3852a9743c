import type { Kysely } from 'kysely'
import { Migrator } from 'kysely/migration'
import { JitError } from '../../lib/errors.ts'
import { migrations } from './migrations.ts'
import type { Schema } from './schema.ts'

/**
 * Brings a store to the tables of this version. Beside a broker that may be serving it nothing is changed: that
 * may be of another version.
 * @param name of the store, for people
 * @throws JitError `store_failed`: it can't be reached, is of a newer version, or `beside` and of an older one
 */
export async function migrate(
  db: Kysely<Schema>,
  { name, beside }: { name: string; beside: boolean },
): Promise<void> {
  const migrator = new Migrator({ db, provider: migrations })
  if (beside) return checkMigrated(migrator, name)
  const { error } = await migrator.migrateToLatest()
  if (error) throw failed(name, error)
}

async function checkMigrated(migrator: Migrator, name: string): Promise<void> {
  const all = await migrator.getMigrations().catch((thrown: unknown) => {
    throw failed(name, thrown)
  })
  if (all.every(({ executedAt }) => executedAt !== undefined)) return
  throw new JitError('store_failed', `${name} is of an older version`, {
    hint: 'start the broker of this version first: it migrates the store',
  })
}

function failed(name: string, cause: unknown): JitError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  // What Kysely says of a step that this version doesn't know.
  const newer = /previously executed migration .* is missing/.test(reason)
  return new JitError('store_failed', `${name} can't be opened: ${reason}`, {
    cause,
    ...(newer ? { hint: 'it was opened by a newer version of jit: run that one' } : {}),
  })
}
