import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { openLeases } from './books.ts'
import { Client, type Holding } from './client.ts'
import { LATE, secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { STORES, type StoreKind } from './stores.ts'
import { counted } from './tally.ts'

/** Seconds. */
const GRACE = 3
const TTL = 12

interface Fault {
  readonly what: string
  readonly stores: readonly StoreKind[]
  /** What a request is told meanwhile: where the client and the broker wait equally long, either's word. */
  readonly refused: readonly string[]
  /** Begins it. @returns what ends it */
  readonly begin: (stage: Stage) => Promise<() => Promise<void>>
}

const FAULTS: readonly Fault[] = [
  {
    what: 'the audit log refuses what is written',
    stores: STORES,
    refused: ['store_failed'],
    async begin({ books }) {
      await books.refuseAudit(true)
      return () => books.refuseAudit(false)
    },
  },
  {
    what: 'the disk takes no more writes',
    stores: ['sqlite'],
    refused: ['store_failed'],
    async begin({ nodes }) {
      const limit = (bytes: string) => {
        for (const { pid } of nodes) execFileSync('prlimit', [`--pid=${pid}`, `--fsize=${bytes}:`])
      }
      limit('4096')
      return async () => limit('unlimited')
    },
  },
  {
    what: 'the database is gone',
    stores: ['postgres'],
    refused: ['store_failed'],
    async begin({ storeLine }) {
      storeLine.reset()
      return async () => storeLine.restore()
    },
  },
  {
    what: 'the database hangs',
    stores: ['postgres'],
    refused: ['broker_unreachable', 'store_failed'],
    async begin({ storeLine }) {
      storeLine.cut()
      return async () => storeLine.restore()
    },
  },
]

// Side by side: they wait for most of the time.
test.concurrent.for(FAULTS.flatMap((fault) => fault.stores.map((store) => ({ store, ...fault }))))(
  '$what: nothing is minted, what ends is revoked all the same, and recorded once that works ($store)',
  async ({ store, ...fault }) => {
    await using stage = await Stage.set({ store, config: { lifeline: { grace: `${GRACE}s` } } })
    await suffer(stage, fault)
  },
)

const disk = mountedDisk()

// Where root may not mount, the case above stands for it.
test.skipIf(disk === undefined)(
  'the disk is full: nothing is minted, what ends is revoked all the same, and recorded once there is room (sqlite)',
  async () => {
    const folder = disk ?? ''
    const ballast = join(folder, 'ballast')
    const begin = async () => {
      fill(ballast)
      return async () => rmSync(ballast)
    }
    try {
      await using stage = await Stage.set({
        store: 'sqlite',
        config: { lifeline: { grace: `${GRACE}s` } },
        ledger: join(folder, 'ledger.db'),
      })
      await suffer(stage, { what: 'the disk is full', refused: ['store_failed'], begin })
    } finally {
      execFileSync('umount', ['--lazy', folder])
      rmSync(folder, { recursive: true, force: true })
    }
  },
)

/** Ends grants in every way while nothing can be recorded, and then lets it be recorded. */
async function suffer(
  stage: Stage,
  { what, refused: answer, begin }: Omit<Fault, 'stores'>,
): Promise<void> {
  const node = await stage.start()
  const client = new Client(await stage.person('dev'))
  const holdings = {
    'given back': await client.ask(),
    'lifeline lost': await client.ask(),
    'at its deadline': await client.ask({ ttl: TTL }),
  }
  const stays = await client.ask()
  const sessions = await Promise.all(Object.values(holdings).map(openSession))
  const end = await begin(stage)
  const before = await stage.database.leases()
  const refusal = client.ask().then(
    () => 'granted',
    (thrown: { code?: string }) => thrown.code,
  )
  const released = holdings['given back'].release()
  holdings['lifeline lost'].vanish()
  const gone = async () => {
    const roles = await stage.database.leases()
    return Object.entries(holdings).every(([how, { role }]) => {
      // Over a shared store another node may have its lifeline, which only the store could tell: it waits for that.
      return (stage.store === 'postgres' && how === 'lifeline lost') || !roles.includes(role)
    })
  }
  const revoked = await secondsUntil(gone, { within: TTL + LATE, what: 'all roles gone' })
  const refused = await refusal
  const minted = (await stage.database.leases()).filter((role) => !before.includes(role))
  const awaited = stage.store === 'postgres' ? 1 : 0
  const opened = () => sessions.filter((session) => session.open()).length - awaited
  await secondsUntil(async () => opened() === 0, {
    within: LATE,
    what: 'its sessions ended',
  }).catch(() => {})
  const open = opened()
  const alive = node.alive
  await end()
  const isRecorded = async () => (await openLeases(stage.books)) === 1
  const recorded = await secondsUntil(isRecorded, { within: LATE, what: 'all ends recorded' })
  await released
  const kept = (await stage.database.leases()).includes(stays.role)
  const again = await client.ask()
  const receipts = await Promise.all([again.release(), stays.release()])
  const figures = {
    minted: minted.length,
    'revoked s': revoked,
    'sessions left': open,
    'recorded s': recorded,
  }
  counted({ fault: what, store: stage.store, figures })
  expect(answer).toContain(refused)
  expect(minted).toEqual([])
  expect(open).toBe(0)
  expect(alive).toBe(true)
  expect(kept).toBe(true)
  for (const receipt of receipts) expect(receipt).toMatchObject({ state: 'revoked' })
  expect(await stage.strays()).toEqual({ unknown: [], undead: [] })
}

/** Somebody who is signed in at the target with what was granted. */
async function openSession({ url }: Holding): Promise<{ open: () => boolean }> {
  const client = new pg.Client({ connectionString: url })
  let open = true
  const over = () => {
    open = false
  }
  client.on('error', over).on('end', over)
  await client.connect()
  return { open: () => open }
}

/** A small file system of its own, where this machine allows it. */
function mountedDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'jit-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder], { stdio: 'ignore' })
    return folder
  } catch {
    rmSync(folder, { recursive: true, force: true })
    return undefined
  }
}

function fill(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (;;) writeSync(file, Buffer.alloc(4096))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}
