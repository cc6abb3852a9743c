import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { request, type TestClient, type TestLifeline } from '../broker/harness.ts'
import { auditOf, querySql } from '../broker/harness-store.ts'
import { Cluster } from './cluster.ts'

const WANTS_APPROVAL = `
@id("everyone") permit (principal is Human, action, resource in Environment::"dev");
@id("approval") forbid (principal, action == Action::"deploy", resource)
unless { context.approvals.contains(Group::"oncall") };
@id("approvers") permit (principal in Group::"oncall", action == Action::"approve", resource);
`

const OUTCOME = { code: 0, signal: null }

let cluster: Cluster

const start = async (count = 2, options = {}) => {
  cluster = await Cluster.start(count, options)
}

afterEach(() => cluster[Symbol.asyncDispose]())

/** Asks on a connection to the node that new connections go to. */
async function ask(client: TestClient, key: string = crypto.randomUUID()): Promise<TestLifeline> {
  const line = await client.connect()
  line.send({ type: 'request', key, details: request() })
  return line
}

describe('several brokers over one PostgreSQL', () => {
  test('know each other’s sessions, and a proof works once at all of them together', async () => {
    await start()
    const client = await cluster.node(0).client()
    const headers = client.headers('GET', '/v1/whoami')
    const whoami = () => fetch(`${cluster.node(0).url}/v1/whoami`, { headers })
    cluster.goTo(1)
    expect((await whoami()).status).toBe(200)
    cluster.goTo(0)
    const replayed = await whoami()
    expect(replayed.status).toBe(401)
    expect(await replayed.json()).toMatchObject({ code: 'proof_replayed' })
  })

  test('a grant goes on at another node when its own stops in order', async () => {
    await start()
    const client = await cluster.node(0).client()
    const { line, granted } = await client.grant()
    await cluster.node(0).broker.stop()
    expect(await line.closed).toBe(LIFELINE_CLOSE.restarting)
    cluster.goTo(1)
    const again = await client.connect()
    const secret = granted.resume_secret
    again.send({ type: 'resume', grant: granted.grant, secret, received: true })
    expect((await again.next('resumed')).credentials).toEqual([])
    // Past the grace: had it not been taken up, it would have ended.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect(cluster.shop.handles.size).toBe(1)
    again.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    const { receipt } = await again.next('released')
    expect(receipt).toMatchObject({ ended_by: 'exit', leases: [{ outcome: 'revoked' }] })
    expect(cluster.shop.handles.size).toBe(0)
  })

  test('a grant whose client doesn’t come back ends after the grace, at whichever node is left', async () => {
    await start()
    const client = await cluster.node(0).client()
    const { granted } = await client.grant()
    await cluster.node(0).broker.stop()
    await expect.poll(() => cluster.shop.handles.size).toBe(0)
    const ended = await auditOf(cluster.node(1).directory, 'grant.ended')
    expect(ended).toMatchObject([{ grant: granted.grant, ended_by: 'lifeline' }])
  })

  test('a grant whose grace ran out while no node lived is resumed at the next, though the dead one is still believed', async () => {
    await start(1, { lifeline: 'grace: 5s' })
    const node = cluster.node(0)
    const client = await node.client()
    const { granted } = await client.grant()
    await node.broker.stop()
    await querySql(
      node.directory,
      "INSERT INTO nodes (id, started_at, alive_until, policy_version) VALUES ('dead', 0, ?, '')",
      [Date.now() + 60_000],
    )
    await querySql(node.directory, 'UPDATE grants SET grace_until = ?', [Date.now() - 1])
    await cluster.join()
    cluster.goTo(1)
    // Whatever it ends as it looks for the first time.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const again = await client.connect()
    const secret = granted.resume_secret
    again.send({ type: 'resume', grant: granted.grant, secret, received: true })
    await again.next('resumed')
    expect(cluster.shop.handles.size).toBe(1)
  })

  test('the newer connection cuts off the older, although that is at another node', async () => {
    await start()
    const client = await cluster.node(0).client()
    const { line, granted } = await client.grant()
    cluster.goTo(1)
    const newer = await client.connect()
    const secret = granted.resume_secret
    newer.send({ type: 'resume', grant: granted.grant, secret, received: true })
    await newer.next('resumed')
    expect(await line.closed).toBe(LIFELINE_CLOSE.replaced)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect(cluster.shop.handles.size).toBe(1)
    newer.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    await newer.next('released')
  })

  test.each([
    ['as the store passes it on', false],
    ['by looking, where the store passes nothing on', true],
  ])('a revocation at one node stops what runs at another, %s', async (_, deaf) => {
    await start(2, { deaf })
    const client = await cluster.node(0).client()
    const { line, granted } = await client.grant()
    cluster.goTo(1)
    const { status, body } = await client.call('POST', `/v1/grants/${granted.grant}/revoke`)
    expect([status, body.leases[0].outcome]).toEqual([200, 'revoked'])
    expect((await line.next('revoked')).ended_by).toBe('revoked')
    expect((await line.next('released')).receipt.leases).toMatchObject([{ outcome: 'revoked' }])
    expect(cluster.shop.handles.size).toBe(0)
  })

  test('a request that waits at one node goes on when somebody approves at another', async () => {
    await start(2, { policies: WANTS_APPROVAL })
    const client = await cluster.node(0).client()
    const lead = await cluster.node(0).client({ sub: 'lead', groups: ['oncall'] })
    const line = await ask(client)
    const { grant } = await line.next('pending')
    cluster.goTo(1)
    const { body } = await lead.call('GET', `/v1/approvals/${grant}`)
    const approval = { hash: body.hash }
    expect((await lead.call('POST', `/v1/grants/${grant}/approve`, approval)).status).toBe(200)
    expect((await line.next('granted')).grant).toBe(grant)
    expect(cluster.shop.handles.size).toBe(1)
  })

  test('the same approval at three nodes is one, and what it approves is minted once', async () => {
    await start(3, { policies: WANTS_APPROVAL })
    const client = await cluster.node(0).client()
    const lead = await cluster.node(0).client({ sub: 'lead', groups: ['oncall'] })
    const line = await ask(client)
    const { grant } = await line.next('pending')
    const { hash } = (await lead.call('GET', `/v1/approvals/${grant}`)).body
    const path = `/v1/grants/${grant}/approve`
    const answers = await Promise.all(
      cluster.nodes.map(({ broker: { port } }) =>
        fetch(`http://127.0.0.1:${port}${path}`, {
          method: 'POST',
          headers: { ...lead.headers('POST', path), 'Content-Type': 'application/json' },
          body: JSON.stringify({ hash }),
        }),
      ),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses).toContain(200)
    expect(statuses.every((status) => status === 200 || status === 409)).toBe(true)
    await line.next('granted')
    expect(cluster.shop.handles.size).toBe(1)
    const permitted = await auditOf(cluster.node(0).directory, 'grant.permitted')
    expect(permitted).toHaveLength(1)
  })

  test('one key at three nodes at once is one grant, and leaves one credential', async () => {
    await start(3)
    const client = await cluster.node(0).client()
    const key = crypto.randomUUID()
    const lines = []
    for (const at of [0, 1, 2]) {
      cluster.goTo(at)
      lines.push(await client.connect())
    }
    for (const line of lines) line.send({ type: 'request', key, details: request() })
    const answers = await Promise.allSettled(lines.map((line) => line.next('granted')))
    const grants = answers.flatMap((answer) =>
      answer.status === 'fulfilled' ? [answer.value.grant] : [],
    )
    expect(new Set(grants).size).toBe(1)
    // Credentials that an older connection got are replaced, and undone.
    await expect.poll(() => cluster.shop.handles.size, { timeout: 30_000 }).toBe(1)
    const { body } = await client.call('GET', '/v1/grants')
    expect(body.grants).toHaveLength(1)
  })

  test('policies that are read again at one node are read again at all', async () => {
    await start()
    const client = await cluster.node(0).client()
    cluster.goTo(1)
    const { line } = await client.grant()
    const none = '@id("nothing") forbid (principal, action == Action::"deploy", resource);'
    writeFileSync(join(cluster.node(0).directory, 'tasks.cedar'), none)
    await cluster.node(0).broker.reload()
    expect((await line.next('revoked')).ended_by).toBe('policy')
  })

  test('keep one audit log that verifies as a whole', async () => {
    await start(3)
    const admin = await cluster.node(0).client({ sub: 'root', groups: ['admins'] })
    const clients = await Promise.all(
      [0, 1, 2].map(async (at) => {
        const client = await cluster.node(0).client({ sub: `u-${at}` })
        return { at, client }
      }),
    )
    const held = []
    for (const { at, client } of clients) {
      cluster.goTo(at)
      held.push(await client.grant())
    }
    for (const { line, granted } of held) {
      line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    }
    await Promise.all(held.map(({ line }) => line.next('released')))
    const { body } = await admin.call('GET', '/v1/audit')
    const entries = body.entries as { seq: number; prev: string; hash: string }[]
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, index) => index + 1))
    expect(entries.slice(1).map(({ prev }) => prev)).toEqual(
      entries.slice(0, -1).map(({ hash }) => hash),
    )
    const started = entries.filter((entry) => 'event' in entry && entry.event === 'broker.started')
    expect(new Set(started.map((entry) => 'node' in entry && entry.node)).size).toBe(3)
  })
})
