import type { TestProject } from 'vitest/node'
import { startPostgres } from './postgres.ts'

/** A PostgreSQL that brokers under test have their ledgers in. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startPostgres({ settings: { max_connections: '400', fsync: 'off' } })
  project.provide('storeServer', server.url())
  return () => server.stop()
}
