import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { counted } from './tally.ts'

let admin: Home
let port: number
const data = mkdtempSync(join(tmpdir(), 'jit-audit-'))
const ledger = join(data, 'ledger.db')
const kept = join(data, 'kept.db')
const older = join(data, 'older.db')

/** One file with everything in it: nothing waits in the write-ahead log. */
function copyLedger(to: string): void {
  const database = new DatabaseSync(ledger)
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
  copyFileSync(ledger, to)
}

function putLedger(from: string): void {
  for (const suffix of ['-wal', '-shm']) rmSync(ledger + suffix, { force: true })
  copyFileSync(from, ledger)
}

const EXEC = ['exec', '--env', 'dev', '--task', 'plan', '--target', 'dev-api', '--quiet', '--']

beforeAll(async () => {
  admin = new Home()
  const plane = await ControlPlane.start({ data })
  port = plane.port
  await plane.signIn(admin, 'admin')
  await admin.run([...EXEC, 'true'])
  await plane.stop()
  copyLedger(older)
  await using again = await ControlPlane.start({ data, port })
  await admin.run([...EXEC, 'true'])
  expect((await admin.run(['audit', '--verify'])).code).toBe(0)
  await again.stop()
  copyLedger(kept)
}, 60_000)

afterAll(() => {
  admin[Symbol.dispose]()
  rmSync(data, { recursive: true, force: true })
})

beforeEach(() => putLedger(kept))

/** Changes the ledger behind the broker's back, and has the log checked. */
async function verifyAfter(change: (database: DatabaseSync) => void) {
  const database = new DatabaseSync(ledger)
  change(database)
  database.close()
  await using _plane = await ControlPlane.start({ data, port })
  const { code, stdout } = await admin.run(['audit', '--verify', '--json'])
  return { code, ...(JSON.parse(stdout) as { ok: boolean; problems: unknown[] }) }
}

test('an untouched log is in order', async () => {
  expect(await verifyAfter(() => {})).toMatchObject({ code: 0, ok: true, problems: [] })
})

test.each<[string, (database: DatabaseSync) => void]>([
  [
    'an edited entry',
    (db) => db.exec(`UPDATE audit SET entry = replace(entry, '"plan"', '"look"')`),
  ],
  [
    'two entries that changed places',
    (db) =>
      db.exec(`UPDATE audit SET seq = -3 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4;
               UPDATE audit SET seq = 4 WHERE seq = -3`),
  ],
  ['an entry taken out of the middle', (db) => db.exec('DELETE FROM audit WHERE seq = 4')],
  [
    'a log cut at its end',
    (db) => db.exec('DELETE FROM audit WHERE seq > (SELECT max(seq) - 2 FROM audit)'),
  ],
  [
    'a log that was cut, with a head made to fit',
    (db) => {
      db.exec('DELETE FROM audit WHERE seq > (SELECT max(seq) - 2 FROM audit)')
      const last = db.prepare('SELECT entry FROM audit ORDER BY seq DESC LIMIT 1').get()
      const { seq, hash } = JSON.parse(String(last?.entry))
      const row = db.prepare(`SELECT value FROM meta WHERE key = 'audit_head'`).get()
      const { signature } = JSON.parse(String(row?.value))
      db.prepare(`UPDATE meta SET value = ? WHERE key = 'audit_head'`).run(
        JSON.stringify({ seq, hash, signature }),
      )
    },
  ],
])('%s is found', async (fault, change) => {
  const result = await verifyAfter(change)
  counted({ fault: `audit log: ${fault}`, figures: { problems: result.problems.length } })
  expect(result).toMatchObject({ code: 1, ok: false })
  expect(result.problems.length).toBeGreaterThan(0)
})

test('an older copy with its older head put back is found by the head a client saw', async () => {
  putLedger(older)
  const result = await verifyAfter(() => {})
  const fault = 'audit log: an older copy with its older head'
  counted({ fault, figures: { problems: result.problems.length } })
  expect(result).toMatchObject({ code: 1, ok: false })
})
