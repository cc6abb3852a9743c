import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { LineLedger } from '../../src/broker/ledger/line-ledger.ts'
import { openPostgresStore } from '../../src/broker/store/postgres.ts'
import { JitError } from '../../src/lib/errors.ts'
import { querySql } from '../broker/harness-store.ts'
import { RawSandboxLine } from '../broker/sandbox-lines.ts'
import { Cluster } from './cluster.ts'

const OUTCOME = { code: 0, signal: null }

let cluster: Cluster

afterEach(() => cluster[Symbol.asyncDispose]())

describe('what one of several brokers had in hand', () => {
  test('a connection that comes back is not cut off by word of where it was meanwhile', async () => {
    // Told by looking alone: late enough.
    cluster = await Cluster.start(2, { deaf: true })
    const client = await cluster.node(0).client()
    const { granted } = await client.grant()
    const { grant } = granted
    let secret = granted.resume_secret
    const resume = async (at: number) => {
      cluster.goTo(at)
      const line = await client.connect()
      line.send({ type: 'resume', grant, secret, received: true })
      secret = (await line.next('resumed')).resume_secret
      return line
    }
    await resume(1)
    const line = await resume(0)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    line.send({ type: 'release', grant, outcome: OUTCOME })
    expect((await line.next('released')).receipt.ended_by).toBe('exit')
  })

  test('a deadline that one node moves while another takes the grant over is watched as moved', async () => {
    cluster = await Cluster.start(2)
    const client = await cluster.node(0).client()
    const { line, granted } = await client.grant({ ttl: 4 })
    const { grant, resume_secret: secret } = granted
    const deadline = Date.parse(granted.expires_at)
    const moving = Promise.withResolvers<void>()
    const moved = Promise.withResolvers<void>()
    cluster.shop.beforeExtend = () => {
      moving.resolve()
      return moved.promise
    }
    await new Promise((resolve) => setTimeout(resolve, 2200))
    line.send({ type: 'renew', grant })
    await moving.promise
    cluster.goTo(1)
    const newer = await client.connect()
    newer.send({ type: 'resume', grant, secret, received: true })
    expect((await newer.next('resumed')).expires_at).toBe(granted.expires_at)
    moved.resolve()
    await new Promise((resolve) => setTimeout(resolve, deadline + 500 - Date.now()))
    newer.send({ type: 'release', grant, outcome: OUTCOME })
    expect((await newer.next('released')).receipt.ended_by).toBe('exit')
  })

  test('a sandbox that was lost at one node and then at another has the grace of the later', async () => {
    cluster = await Cluster.start(2, {
      lifeline: 'grace: 3s',
      policies: '@id("agents") permit (principal is Agent, action, resource);',
    })
    const agent = await cluster.node(0).agent('claude')
    const first = await RawSandboxLine.open(cluster.goTo(0), agent)
    first.sendOpen()
    const opened = await first.next()
    const sandbox = opened.type === 'opened' ? opened.sandbox.id : ''
    const reopen = async () => {
      const line = await RawSandboxLine.open(cluster.goTo(1), agent)
      line.send({ type: 'reopen', sandbox })
      expect((await line.next()).type).toBe('opened')
      return line
    }
    first.cut()
    const second = await reopen()
    await new Promise((resolve) => setTimeout(resolve, 2000))
    second.cut()
    await new Promise((resolve) => setTimeout(resolve, 1600))
    await reopen()
  })

  test('is anybody’s where it was written only after that one had left', async () => {
    cluster = await Cluster.start(1)
    const { directory } = cluster.node(0)
    const client = await cluster.node(0).client()
    const held = await client.grant()
    const ended = await client.grant()
    let refusing = true
    cluster.shop.beforeRevoke = async () => {
      if (refusing) throw new JitError('target_refused', 'shop: not now')
    }
    await querySql(directory, `UPDATE grants SET held_by = 'n_left' WHERE id = ?`, [
      held.granted.grant,
    ])
    ended.line.send({ type: 'release', grant: ended.granted.grant, outcome: OUTCOME })
    const leave = `UPDATE leases SET claimed_by = 'n_left' WHERE attempts > 0 AND claimed_by IS NULL RETURNING id`
    await expect.poll(() => querySql(directory, leave)).toHaveLength(1)
    refusing = false
    expect((await held.line.next('revoked')).ended_by).toBe('lifeline')
    await expect.poll(() => cluster.shop.handles.size, { timeout: 8000 }).toBe(0)
  })

  test('leases that a node can’t revoke now are left to the others', async () => {
    cluster = await Cluster.start(1)
    const { directory } = cluster.node(0)
    cluster.shop.beforeRevoke = () =>
      Promise.reject(new JitError('target_unreachable', 'shop: no route'))
    const client = await cluster.node(0).client()
    const { line, granted } = await client.grant()
    const columns = await querySql(
      directory,
      `SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'leases'`,
    )
    const names = columns.map(({ name }) => String(name))
    const made: Record<string, string> = {
      id: `'l_' || i`,
      handle: `'h_' || i`,
      state: `'revoking'`,
      next_attempt_at: '0',
      problem: `'no route'`,
      attempts: '1',
      undo: 'NULL',
    }
    const select = names.map((name) => made[name] ?? `leases.${name}`).join(', ')
    await querySql(
      directory,
      `INSERT INTO leases (${names.join(', ')}) SELECT ${select} FROM leases, generate_series(1, 20) i`,
    )
    await expect
      .poll(() => querySql(directory, 'SELECT id FROM leases WHERE attempts > 1'), {
        timeout: 5000,
      })
      .not.toEqual([])
    const untried = `SELECT id FROM leases WHERE attempts = 1 AND claimed_by IS NOT NULL`
    await expect.poll(() => querySql(directory, untried), { timeout: 2000 }).toEqual([])
    cluster.shop.beforeRevoke = async () => {}
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    await line.next('released')
  })

  test('is not taken back from another by one that was late, and what is over is at none', async () => {
    cluster = await Cluster.start(1)
    const { directory } = cluster.node(0)
    const client = await cluster.node(0).client()
    const { line, granted } = await client.grant()
    const { grant } = granted
    const url = readFileSync(join(directory, 'store.url'), 'utf8')
    const store = await openPostgresStore(url, { debug() {}, info() {}, warn() {}, error() {} })
    const late = new LineLedger({ store, node: 'n_late' })
    await late.holdAgain('grants', grant)
    const held = 'SELECT held_by FROM grants'
    expect(await querySql(directory, held)).not.toEqual([{ held_by: 'n_late' }])
    line.send({ type: 'release', grant, outcome: OUTCOME })
    expect((await line.next('released')).receipt.ended_by).toBe('exit')
    await late.hold('grants', grant)
    await late.holdAgain('grants', grant)
    await store.close()
    const rows = await querySql(directory, 'SELECT held_by, grace_until FROM grants')
    expect(rows).toEqual([{ held_by: null, grace_until: null }])
  })
})
