import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Surroundings } from './escape.ts'
import { run } from './tools.ts'

/** All that a command with a grant had in its environment, as it left it for others. */
export function loot({ notes }: Surroundings): Record<string, string> {
  const lines = readFileSync(join(notes, 'granted.env'), 'utf8').split('\n')
  return Object.fromEntries(
    lines.filter((line) => line.includes('=')).map((line) => line.split(/=(.*)/s, 2)),
  )
}

/**
 * Asks the database that it was let into, by its variables and by its URL.
 * @throws Error when neither works
 */
export async function databaseWith(taken: Readonly<Record<string, string>>): Promise<string> {
  const { PGHOST, PGPORT, PGUSER, PGDATABASE, PG_CONN_STR = '' } = taken
  if (!PGUSER) throw new Error('it had none')
  const env = { PATH: process.env.PATH, PGHOST, PGPORT, PGUSER, PGDATABASE, PGCONNECT_TIMEOUT: '3' }
  let last = ''
  for (const words of [[], [PG_CONN_STR]]) {
    const ran = await run('psql', ['-X', '-w', '-At', '-c', 'SELECT 1', ...words], { env })
    if (ran.code === 0) return ran.output
    last = ran.output.trim().split('\n')[0] ?? ''
  }
  throw new Error(last)
}
