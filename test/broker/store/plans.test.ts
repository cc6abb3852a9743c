import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, inject, test, vi } from 'vitest'
import { Harness } from '../harness.ts'

/** Tables that stay small however long a ledger is kept, and what is found of others by their indexes. */
const SMALL = [
  'meta',
  'nodes',
  'notifications',
  'signing_keys',
  'kysely',
  'sqlite_master',
  'cut_offs',
  'busy',
  'settled',
]
/** Rows that are in the statement itself. */
const WITHIN = /^SCAN (CONSTANT ROW|\d+-ROW VALUES CLAUSE)/

/** The whole of a table; or all that are in a state, where their ids are said. */
function isLong(step: string, query: string): boolean {
  if (/INDEX (grants_state|leases_open)/.test(step)) return /"(grant_)?id" in \(\?/.test(query)
  return step.startsWith('SCAN ') && !step.includes(' USING ') && !WITHIN.test(step)
}

// PostgreSQL plans by how much there is: in an empty ledger it reads whole tables.
test.skipIf(inject('storeServer') !== undefined)(
  'a broker looks for nothing in the whole of a table that grows',
  async () => {
    const asked = vi.spyOn(DatabaseSync.prototype, 'prepare')
    try {
      await using harness = await Harness.start()
      const client = await harness.client()
      const { line, granted } = await client.grant()
      await expect
        .poll(() => asked.mock.calls.flat().join('\n'))
        .toContain('"state" = ? and "mint_by"')
      line.send({ type: 'release', grant: granted.grant, outcome: { code: 0, signal: null } })
      await line.next('released')
      // So many that an index on their state looks better than their ids.
      for (let one = 0; one < 20; one += 1) await client.grant()
      await client.call('POST', '/v1/revoke', { scope: 'mine' })
      const queries = new Set(asked.mock.calls.map(([query]) => query))
      using database = new DatabaseSync(join(harness.directory, 'ledger.db'))
      const whole = [...queries].flatMap((query) => {
        if (!/^(select|update|delete)/.test(query)) return []
        const plan = database.prepare(`EXPLAIN QUERY PLAN ${query}`).all()
        return plan
          .map(({ detail }) => String(detail))
          .filter((step) => isLong(step, query))
          .filter((step) => !SMALL.some((table) => step.startsWith(`SCAN ${table}`)))
          .map((step) => `${step}: ${query}`)
      })
      expect(whole).toEqual([])
    } finally {
      asked.mockRestore()
    }
  },
)
