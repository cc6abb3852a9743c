import { expect, test } from 'vitest'
import { prepareSampleRoles } from '../../src/dev/sample-roles.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'

test('many that prepare one PostgreSQL at the same moment all find the sample roles there', async () => {
  const postgres = await startPostgres()
  const url = postgres.url()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => prepareSampleRoles(url)),
  )
  expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([])
  {
    await using database = new Database(url)
    const roles = await database.query(
      "SELECT rolname FROM pg_roles WHERE rolname IN ('migrator', 'readonly') ORDER BY rolname",
    )
    expect(roles).toEqual([{ rolname: 'migrator' }, { rolname: 'readonly' }])
  }
  await postgres.stop()
})
