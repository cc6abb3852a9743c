import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeBroker } from '../run/fake-broker.ts'
import { Home, JIT } from '../run/home.ts'
import { Screen } from '../run/screen.ts'

/** The beginning of a line that is drawn anew. */
const ERASE = '\r\u001b[K'
let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  home = new Home()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

test('a grant that takes long to be given back says so on a terminal, and nothing of it stays', async () => {
  let held = () => {}
  broker.behaviour.answer = (message, line) => {
    if (message.type !== 'release') return false
    held = () => line.send({ type: 'released', grant: broker.grant, receipt: broker.receipt() })
    return true
  }
  const command = ['exec', '--env', 'dev', '--task', 'deploy', '--', 'true']
  const screen = new Screen(home, [process.execPath, JIT, ...command])
  await screen.shows(/giving shop-db back … 1s/)
  held()
  await screen.ended
  expect(screen.text.split(ERASE).at(-1)).toMatch(/^\S+ revoked shop-db in /)
})

test('an answer that takes long is waited for with a line, which --json does without', async () => {
  const principal = { kind: 'human', id: 'idp/1', name: 'dev', groups: [] }
  const session_expires_at = new Date(Date.now() + 3_600_000).toISOString()
  broker.behaviour.http = async () => {
    await delay(1300)
    return { body: { principal, broker: broker.url, session_expires_at } }
  }
  const screens = [[], ['--json']].map(
    (flags) => new Screen(home, [process.execPath, JIT, 'whoami', ...flags]),
  )
  await Promise.all(screens.map(({ ended }) => ended))
  const [told, json] = screens.map(({ text }) => text)
  expect(told).toContain('asking the broker … 1s')
  expect(told?.split(ERASE).at(-1)).toMatch(/^dev \(human, idp\/1\)/)
  expect(json).not.toContain('asking')
})
