import { type ColumnDefinitionBuilder, type Kysely, sql } from 'kysely'
import type { Migration, MigrationProvider } from 'kysely/migration'
import type { Schema } from './schema.ts'

const initial: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('meta')
      .addColumn('key', 'text', (c) => c.primaryKey())
      .addColumn('value', 'text', (c) => c.notNull())
      .execute()
    await db.schema
      .createTable('signing_keys')
      .addColumn('kid', 'text', (c) => c.primaryKey())
      .addColumn('purpose', 'text', (c) => c.notNull())
      .addColumn('private_key', 'text', (c) => c.notNull())
      .addColumn('public_jwk', 'text', (c) => c.notNull())
      .addColumn('created_at', 'bigint', (c) => c.notNull())
      .execute()
    await db.schema
      .createTable('replay')
      .addColumn('scope', 'text', (c) => c.notNull())
      .addColumn('value', 'text', (c) => c.notNull())
      .addColumn('expires_at', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('replay_once', ['scope', 'value'])
      .execute()
    await db.schema.createIndex('replay_expiry').on('replay').column('expires_at').execute()
    await createSessions(db)
    await createGrants(db)
    await createLeases(db)
    await createApprovals(db)
    await createSandboxes(db)
    await createCutOffs(db)
    await createNotifications(db)
    await db.schema
      .createTable('audit')
      .addColumn('seq', 'integer', (c) => c.primaryKey())
      .addColumn('at', 'bigint', (c) => c.notNull())
      .addColumn('event', 'text', (c) => c.notNull())
      .addColumn('grant_id', 'text')
      .addColumn('entry', 'text', (c) => c.notNull())
      .execute()
    await db.schema.createIndex('audit_grant').on('audit').columns(['grant_id', 'at']).execute()
  },
}

async function createSessions(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('sessions')
    .addColumn('sid', 'text', (c) => c.primaryKey())
    .addColumn('principal', 'text', (c) => c.notNull())
    .addColumn('principal_kind', 'text', (c) => c.notNull())
    .addColumn('principal_id', 'text', (c) => c.notNull())
    .addColumn('issuer', 'text', (c) => c.notNull())
    .addColumn('client_id', 'text', (c) => c.notNull())
    .addColumn('jkt', 'text', (c) => c.notNull().unique())
    .addColumn('authenticated_at', 'bigint')
    .addColumn('acr', 'text', (c) => c.notNull())
    .addColumn('amr', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('renewed_at', 'bigint', (c) => c.notNull())
    .addColumn('expires_at', 'bigint', (c) => c.notNull())
    .addColumn('ended_at', 'bigint')
    .addColumn('ended_by', 'text')
    .addColumn('token_hash', 'text', (c) => c.unique())
    .addColumn('signed', 'text')
    .addColumn('ceiling', 'text')
    .addColumn('parent_sid', 'text')
    .addColumn('nonce', 'text', (c) => c.notNull().defaultTo(''))
    .execute()
  await db.schema
    .createIndex('sessions_delegated')
    .on('sessions')
    .columns(['parent_sid'])
    .where('parent_sid' as never, 'is not', null as never)
    .execute()
  await db.schema
    .createIndex('sessions_principal')
    .on('sessions')
    .columns(['principal_id', 'sid'])
    .execute()
  await db.schema
    .createIndex('sessions_open')
    .on('sessions')
    .columns(['expires_at'])
    .where('ended_at' as never, 'is', null as never)
    .execute()
}

async function createGrants(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('grants')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('sid', 'text', (c) => c.notNull().references('sessions.sid'))
    .addColumn('principal', 'text', (c) => c.notNull())
    .addColumn('asked_by', 'text', (c) => c.notNull())
    .addColumn('principal_kind', 'text', (c) => c.notNull())
    .addColumn('principal_id', 'text', (c) => c.notNull())
    .addColumn('request_key', 'text', (c) => c.notNull())
    .addColumn('request_hash', 'text', (c) => c.notNull())
    .addColumn('environment', 'text', (c) => c.notNull())
    .addColumn('tier', 'text', (c) => c.notNull())
    .addColumn('task', 'text', (c) => c.notNull())
    .addColumn('targets', 'text', (c) => c.notNull())
    .addColumn('deliveries', 'text', (c) => c.notNull())
    .addColumn('ttl_seconds', 'integer', (c) => c.notNull())
    .addColumn('context', 'text', (c) => c.notNull())
    .addColumn('policy_version', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('requested_at', 'bigint', (c) => c.notNull())
    .addColumn('lapses_at', 'bigint')
    .addColumn('obligation', 'text')
    .addColumn('wanted_by', 'text')
    .addColumn('attended', 'integer', (c) => c.notNull().defaultTo(1))
    .addColumn('break_glass', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('acknowledged_at', 'bigint')
    .addColumn('expires_at', 'bigint')
    .addColumn('resume_hash', 'text')
    .addColumn('resume_previous', 'text')
    .addColumn('received', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('claimed_told', 'text')
    .addColumn('claimed_decided', 'text')
    .addColumn('ended_by', 'text')
    .addColumn('ended_at', 'bigint')
    .addUniqueConstraint('grants_once', ['sid', 'request_key'])
    .execute()
  await db.schema
    .createIndex('grants_state')
    .on('grants')
    .columns(['state', 'expires_at'])
    .execute()
  await db.schema
    .createIndex('grants_principal')
    .on('grants')
    .columns(['principal_id', 'state'])
    .execute()
  await db.schema
    .createIndex('grants_asked')
    .on('grants')
    .columns(['principal_id', 'requested_at'])
    .execute()
}

async function createLeases(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('leases')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('grant_id', 'text', (c) => c.notNull().references('grants.id'))
    .addColumn('target', 'text', (c) => c.notNull())
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('handle', 'text', (c) => c.notNull().unique())
    .addColumn('delivery', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('revocability', 'text', (c) => c.notNull())
    .addColumn('target_identity', 'text', (c) => c.notNull())
    .addColumn('mint_by', 'bigint', (c) => c.notNull())
    .addColumn('expires_at', 'bigint', (c) => c.notNull())
    .addColumn('confirmed', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('external_id', 'text')
    .addColumn('undo', 'text')
    .addColumn('attempts', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('next_attempt_at', 'bigint')
    .addColumn('problem', 'text')
    .addColumn('outcome', 'text')
    .addColumn('cleanup', 'text')
    .execute()
  await db.schema.createIndex('leases_grant').on('leases').column('grant_id').execute()
  await db.schema
    .createIndex('leases_stuck')
    .on('leases')
    .columns(['problem'])
    .where('problem' as never, 'is not', null as never)
    .execute()
  await db.schema
    .createIndex('leases_open')
    .on('leases')
    .columns(['state', 'mint_by'])
    .where('state' as never, '!=', 'revoked' as never)
    .execute()
  await db.schema
    .createIndex('leases_due')
    .on('leases')
    .columns(['next_attempt_at'])
    .where('next_attempt_at' as never, 'is not', null as never)
    .execute()
}

async function createApprovals(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('approvals')
    .addColumn('grant_id', 'text', (c) => c.notNull().references('grants.id'))
    .addColumn('approver_id', 'text', (c) => c.notNull())
    .addColumn('approver', 'text', (c) => c.notNull())
    .addColumn('groups', 'text', (c) => c.notNull())
    .addColumn('method', 'text', (c) => c.notNull())
    .addColumn('subject_hash', 'text', (c) => c.notNull())
    .addColumn('authenticated_at', 'bigint')
    .addColumn('at', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('approvals_once', ['grant_id', 'approver_id'])
    .execute()
}

async function createSandboxes(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('sandboxes')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('sid', 'text', (c) => c.notNull().references('sessions.sid'))
    .addColumn('principal', 'text', (c) => c.notNull())
    .addColumn('profile', 'text', (c) => c.notNull())
    .addColumn('command', 'text', (c) => c.notNull())
    .addColumn('domains', 'text', (c) => c.notNull())
    .addColumn('refused', 'text', (c) => c.notNull())
    .addColumn('policy_version', 'text', (c) => c.notNull())
    .addColumn('started_at', 'bigint', (c) => c.notNull())
    .addColumn('ended_at', 'bigint')
    .addColumn('ended_by', 'text')
    .execute()
  await db.schema
    .createIndex('sandboxes_open')
    .on('sandboxes')
    .columns(['sid'])
    .where('ended_at' as never, 'is', null as never)
    .execute()
}

async function createCutOffs(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('cut_offs')
    .addColumn('principal_id', 'text', (c) => c.primaryKey())
    .addColumn('until', 'bigint', (c) => c.notNull())
    .execute()
}

async function createNotifications(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('notifications')
    .addColumn('id', 'text', (c) => c.primaryKey())
    .addColumn('hook', 'text', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('grant_id', 'text', (c) => c.notNull().references('grants.id'))
    .addColumn('body', 'text', (c) => c.notNull())
    .addColumn('created_at', 'bigint', (c) => c.notNull())
    .addColumn('attempts', 'integer', (c) => c.notNull().defaultTo(0))
    .addColumn('next_attempt_at', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createIndex('notifications_due')
    .on('notifications')
    .column('next_attempt_at')
    .execute()
}

/** Several brokers over one store: who is there, and which of them has what in hand. */
const nodes: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('nodes')
      .addColumn('id', 'text', (c) => c.primaryKey())
      .addColumn('started_at', 'bigint', (c) => c.notNull())
      .addColumn('alive_until', 'bigint', (c) => c.notNull())
      .addColumn('policy_version', 'text', (c) => c.notNull())
      .execute()
    for (const table of ['grants', 'sandboxes']) {
      await db.schema.alterTable(table).addColumn('held_by', 'text').execute()
      await db.schema.alterTable(table).addColumn('grace_until', 'bigint').execute()
      await db.schema
        .createIndex(`${table}_held`)
        .on(table)
        .column('held_by')
        .where('held_by' as never, 'is not', null as never)
        .execute()
      await db.schema
        .createIndex(`${table}_abandoned`)
        .on(table)
        .column('grace_until')
        .where('grace_until' as never, 'is not', null as never)
        .execute()
    }
    await db.schema.alterTable('leases').addColumn('claimed_by', 'text').execute()
    await db.schema.alterTable('audit').addColumn('node', 'text').execute()
    // The row that whoever writes has locked.
    const writer = { key: 'writer', value: '' }
    await (db as Kysely<Schema>).insertInto('meta').values(writer).execute()
  },
}

/** Keys that are changed: several of a purpose, each with its time. */
const rotation: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    const column = (name: string, more: (c: ColumnDefinitionBuilder) => ColumnDefinitionBuilder) =>
      db.schema.alterTable('signing_keys').addColumn(name, 'bigint', more).execute()
    await column('generation', (c) => c.notNull().defaultTo(1))
    await column('signs_at', (c) => c.notNull().defaultTo(0))
    await column('longest', (c) => c.notNull().defaultTo(0))
    await column('withdrawn_at', (c) => c)
    await sql`update signing_keys set signs_at = created_at`.execute(db)
    await db.schema
      .createIndex('signing_keys_once')
      .unique()
      .on('signing_keys')
      .columns(['purpose', 'generation'])
      .execute()
  },
}

/** What a ledger may have forgotten: who served it until when, and what was found of others. */
const quarantine: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('incarnations')
      .addColumn('mark', 'text', (c) => c.primaryKey())
      .addColumn('started_at', 'bigint', (c) => c.notNull())
      .addColumn('alive_at', 'bigint', (c) => c.notNull())
      .execute()
    await db.schema
      .createTable('quarantine')
      .addColumn('handle', 'text', (c) => c.primaryKey())
      .addColumn('target', 'text', (c) => c.notNull())
      .addColumn('target_identity', 'text', (c) => c.notNull())
      .addColumn('minted_at', 'bigint', (c) => c.notNull())
      .addColumn('found_at', 'bigint', (c) => c.notNull())
      .addColumn('forked', 'integer', (c) => c.notNull())
      .addColumn('deadline', 'bigint')
      .addColumn('adopted_at', 'bigint')
      .addColumn('attempts', 'integer', (c) => c.notNull().defaultTo(0))
      .addColumn('next_attempt_at', 'bigint')
      .addColumn('problem', 'text')
      .addColumn('resolved_at', 'bigint')
      .execute()
    await db.schema
      .createIndex('quarantine_open')
      .on('quarantine')
      .columns(['next_attempt_at'])
      .where('resolved_at' as never, 'is', null as never)
      .execute()
  },
}

/** Who has claimed leases is asked for each second. */
const claims: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createIndex('leases_claimed')
      .on('leases')
      .column('claimed_by')
      .where('claimed_by' as never, 'is not', null as never)
      .execute()
  },
}

/** Every step the schema took, oldest first; names never change once released. */
export const migrations: MigrationProvider = {
  getMigrations: async () => ({
    '2026-11-initial': initial,
    '2026-11-nodes': nodes,
    '2026-11-rotation': rotation,
    '2026-12-quarantine': quarantine,
    '2026-12-who-claims': claims,
  }),
}
