/**
 * What runs under `jit exec` in the faults: it opens a session with what it was given and keeps it,
 * and writes into a file what becomes of it.
 *
 *     tenant.ts FILE
 */
import { appendFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import pg from 'pg'

const [, , file = ''] = process.argv
const url = process.env.PG_CONN_STR ?? ''
/** Milliseconds after which it ends by itself, whatever happens. */
const AT_MOST = 120_000

const say = (what: string) => appendFileSync(file, `${what}\n`)

async function signIn(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return client
}

const tryAgain = () =>
  signIn().then(
    () => 'in again',
    (error: { code?: string }) => `refused ${error.code}`,
  )

setTimeout(() => process.exit(1), AT_MOST)
process.once('SIGTERM', async () => {
  say(`past its time: ${await tryAgain()}`)
  say('stopped')
  process.exit(0)
})
const client = await signIn()
const cut = new Promise((resolve) => client.once('end', resolve))
const { rows } = await client.query('SELECT current_user, session_user')
say(`in ${rows[0].session_user}`)
await cut
say('cut')
say(await tryAgain())
await wait(AT_MOST)
