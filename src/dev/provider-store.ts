import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Adapter, AdapterPayload } from 'oidc-provider'

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS record (
    model TEXT NOT NULL, id TEXT NOT NULL, payload TEXT NOT NULL, expires_at INTEGER,
    grant_id TEXT, user_code TEXT, uid TEXT, PRIMARY KEY (model, id)
  );
  CREATE INDEX IF NOT EXISTS record_grant ON record (grant_id);
  CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
`

/** Everything the provider remembers: sign-ins, refresh tokens, its keys. Survives a kill -9. */
export class ProviderStore {
  readonly #db: DatabaseSync

  /** @param file path of the SQLite file, `:memory:` for one that ends with the process */
  constructor(file: string) {
    this.#db = new DatabaseSync(file)
    // It holds signing keys and refresh tokens; what SQLite puts beside it gets the same mode.
    if (file !== ':memory:') chmodSync(file, 0o600)
    this.#db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000',
    )
    this.#db.exec(SCHEMA)
    this.#db.prepare('DELETE FROM record WHERE expires_at < ?').run(Date.now())
  }

  /** The value kept under `name`, made by `create` the first time. */
  setting(name: string, create: () => string): string {
    const row = this.#db.prepare('SELECT value FROM setting WHERE name = ?').get(name)
    if (row) return String(row.value)
    const value = create()
    this.#db.prepare('INSERT INTO setting (name, value) VALUES (?, ?)').run(name, value)
    return value
  }

  /** The storage of one model of oidc-provider. */
  adapter(model: string): Adapter {
    const find = async (column: 'id' | 'uid' | 'user_code', value: string) =>
      this.#find(model, column, value)
    return {
      upsert: async (id, payload, expiresIn) => this.#upsert({ model, id, payload, expiresIn }),
      find: (id) => find('id', id),
      findByUid: (uid) => find('uid', uid),
      findByUserCode: (code) => find('user_code', code),
      consume: async (id) => this.#consume(model, id),
      destroy: async (id) => {
        this.#db.prepare('DELETE FROM record WHERE model = ? AND id = ?').run(model, id)
      },
      revokeByGrantId: async (grant) => {
        this.#db.prepare('DELETE FROM record WHERE grant_id = ?').run(grant)
      },
    }
  }

  close(): void {
    this.#db.close()
  }

  #find(model: string, column: 'id' | 'uid' | 'user_code', value: string) {
    const row = this.#db
      .prepare(`SELECT payload, expires_at FROM record WHERE model = ? AND ${column} = ?`)
      .get(model, value)
    if (!row || (row.expires_at !== null && Number(row.expires_at) < Date.now())) return undefined
    return JSON.parse(String(row.payload)) as AdapterPayload
  }

  #upsert(record: {
    model: string
    id: string
    payload: AdapterPayload
    expiresIn: number | undefined
  }): void {
    const { model, id, payload, expiresIn } = record
    // A Grant carries no grantId of its own; it goes with its tokens when they are revoked.
    const grant = payload.grantId ?? null
    this.#db
      .prepare('INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(
        model,
        id,
        JSON.stringify(payload),
        expiresIn === undefined ? null : Date.now() + expiresIn * 1000,
        grant,
        payload.userCode ?? null,
        payload.uid ?? null,
      )
  }

  #consume(model: string, id: string): void {
    this.#db
      .prepare(
        `UPDATE record SET payload = json_set(payload, '$.consumed', ?) WHERE model = ? AND id = ?`,
      )
      .run(Math.floor(Date.now() / 1000), model, id)
  }
}
