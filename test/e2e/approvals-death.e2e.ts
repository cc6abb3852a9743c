import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ended, Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>
let database: Database
let port: number
const requester = new Home()
const approver = new Home()
const admin = new Home()
const data = mkdtempSync(join(tmpdir(), 'jit-approvals-'))

beforeAll(async () => {
  postgres = await startPostgres()
  database = new Database(postgres.url())
  await using plane = await ControlPlane.start({ data, postgres: postgres.url() })
  port = plane.port
  await plane.signIn(requester, 'dev')
  await plane.signIn(approver, 'lead')
  await plane.signIn(admin, 'admin')
})

afterAll(async () => {
  requester[Symbol.dispose]()
  approver[Symbol.dispose]()
  admin[Symbol.dispose]()
  await database[Symbol.asyncDispose]()
  await postgres.stop()
  rmSync(data, { recursive: true, force: true })
})

const start = (dieAt?: string) =>
  ControlPlane.start({ data, port, postgres: postgres.url(), ...(dieAt ? { dieAt } : {}) })

const ASK = [
  'exec',
  '--env',
  'prod',
  '--task',
  'deploy',
  '--target',
  'prod-db',
  '--reason',
  'r',
  '--receipt',
  'receipt.json',
]

async function json(home: Home, args: readonly string[]) {
  const { code, stdout } = await home.run([...args, '--json'])
  return code === 0 ? JSON.parse(stdout) : undefined
}

/** The request that waits for the approver, as soon as one does. */
async function waitingRequest(): Promise<string> {
  let grant: string | undefined
  const look = async () => {
    grant = (await json(approver, ['status']))?.approvals[0]?.subject.grant
    return grant
  }
  await expect.poll(look, { timeout: 15_000, interval: 200 }).toBeTypeOf('string')
  return String(grant)
}

async function eventsOf(grant: string): Promise<string[]> {
  const { stdout } = await admin.run(['audit', '--json'])
  const entries = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return entries.filter((entry) => entry.grant === grant).map((entry) => entry.event)
}

const count = (events: readonly string[], event: string) =>
  events.filter((one) => one === event).length

test.each([
  'request:pending',
  'approve:recorded',
  'request:permitted',
  'mint:intended',
  'mint:created',
  'mint:recorded',
])(
  'the broker is killed at %s: after its restart the request goes on, approved once, and nothing is left of it',
  async (dieAt) => {
    const doomed = await start(dieAt)
    const jit = ended(requester.start([...ASK, '--', process.execPath, '-e', '']))
    let approval: Promise<unknown> = Promise.resolve()
    if (dieAt !== 'request:pending') {
      approval = approver.run(['approve', await waitingRequest(), '--yes'])
    }
    await doomed.gone()
    await approval
    await using _plane = await start()
    if (dieAt === 'request:pending') {
      expect(await database.leases()).toEqual([])
      expect(await approver.run(['approve', await waitingRequest(), '--yes'])).toMatchObject({
        code: 0,
      })
    }
    expect(await jit).toMatchObject({ code: 0 })
    await database.empty(40)
    const { grant } = JSON.parse(readFileSync(join(requester.directory, 'receipt.json'), 'utf8'))
    const events = await eventsOf(grant)
    expect(events[0]).toBe('grant.pending')
    expect(count(events, 'grant.approved')).toBe(1)
    expect(count(events, 'grant.permitted')).toBe(1)
    expect(events.indexOf('grant.approved')).toBeLessThan(events.indexOf('grant.granted'))
    expect((await json(approver, ['status'])).approvals).toEqual([])
  },
)

test('nobody approved it: killed or not, nothing is ever minted', async () => {
  const doomed = await start()
  const jit = requester.start([...ASK, '--', process.execPath, '-e', ''])
  const outcome = ended(jit)
  const grant = await waitingRequest()
  await doomed.kill()
  await using _plane = await start()
  await expect.poll(waitingRequest, { timeout: 15_000 }).toBe(grant)
  jit.kill('SIGINT')
  expect(await outcome).toMatchObject({ code: 130 })
  await expect
    .poll(async () => (await json(approver, ['status'])).approvals, { timeout: 15_000 })
    .toEqual([])
  expect(await database.leases()).toEqual([])
  expect(await eventsOf(grant)).toEqual(['grant.pending', 'grant.refused'])
})
