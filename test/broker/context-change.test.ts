import { appendFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { AuditEntry } from '../../src/protocol/audit.ts'
import type { ClaimedContext } from '../../src/protocol/request.ts'
import {
  type GrantedLifeline,
  Harness,
  type HarnessOptions,
  request,
  TestClient,
} from './harness.ts'
import { PipelineIssuer } from './pipeline-tokens.ts'

const POLICIES = `
@id("everyone") permit (principal, action, resource);
@id("not-from-experiments") @description("nothing is done from experiments")
forbid (principal, action, resource) when { context.claimed.branch like "experiment/*" };
@id("production-needs-oncall") forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
`
const HERE: ClaimedContext = {
  repository: 'github.com/acme/shop',
  branch: 'main',
  commit: 'a'.repeat(40),
  dirty: false,
}
const EXPERIMENT = { ...HERE, branch: 'experiment/x' }
const LATER = { tasks: 'plan: {}, deploy: { on_context_change: renewal }' }

const start = (options: HarnessOptions = {}) => Harness.start({ policies: POLICIES, ...options })

const tell = ({ line, granted }: GrantedLifeline, claimed: ClaimedContext) =>
  line.send({ type: 'context', grant: granted.grant, claimed })

/** Resolves when the broker has taken what was sent before. */
async function settled({ line, granted }: GrantedLifeline): Promise<void> {
  line.send({ type: 'renew', grant: granted.grant })
  await line.next('renewed')
}

async function eventsOf(harness: Harness, grant: string): Promise<AuditEntry[]> {
  const admin = await harness.client({ sub: 'auditor', groups: ['admins'] })
  const { body } = await admin.call('GET', '/v1/audit')
  return (body.entries as AuditEntry[]).filter((entry) => entry.grant === grant)
}

const changes = async (harness: Harness, { granted }: GrantedLifeline) =>
  (await eventsOf(harness, granted.grant)).filter(({ event }) => event === 'grant.context_changed')

describe('a command that comes to stand elsewhere', () => {
  test('goes on where policy permits it there too, and that is recorded', async () => {
    await using harness = await start()
    const held = await (await harness.client()).grant({ claimed: HERE })
    const other = { ...HERE, branch: 'release' }
    tell(held, other)
    await settled(held)
    expect(harness.shop.handles.size).toBe(1)
    expect(await changes(harness, held)).toMatchObject([
      { claimed: other, permitted: true, decisions: [{ decision: { effect: 'permit' } }] },
    ])
  })

  test('is stopped where policy denies it there, and is told why', async () => {
    await using harness = await start()
    const held = await (await harness.client()).grant({ claimed: HERE })
    tell(held, EXPERIMENT)
    const revoked = await held.line.next('revoked')
    expect(revoked).toMatchObject({ ended_by: 'context' })
    expect(revoked.reason).toMatch(/its context changed: .*not-from-experiments/)
    const { receipt } = await held.line.next('released')
    expect(receipt).toMatchObject({ ended_by: 'context', leases: [{ outcome: 'revoked' }] })
    expect(harness.shop.handles.size).toBe(0)
    const ended = (await eventsOf(harness, held.granted.grant)).find(
      ({ event }) => event === 'grant.ended',
    )
    expect(ended).toMatchObject({
      ended_by: 'context',
      claimed: EXPERIMENT,
      decisions: [{ decision: { effect: 'deny', policies: ['not-from-experiments'] } }],
    })
  })

  test('is decided once for each place: what is told again is no news', async () => {
    await using harness = await start()
    const client = await harness.client()
    const held = await client.grant({ claimed: HERE })
    tell(held, HERE)
    tell(held, { ...HERE, branch: 'release' })
    tell(held, { ...HERE, branch: 'release' })
    await settled(held)
    expect(await changes(harness, held)).toHaveLength(1)
    tell(held, HERE)
    await settled(held)
    expect(await changes(harness, held)).toHaveLength(2)
  })

  test('is decided there by policies that change later as well', async () => {
    await using harness = await start({
      policies: '@id("everyone") permit (principal, action, resource);',
    })
    const held = await (await harness.client()).grant({ claimed: HERE })
    tell(held, EXPERIMENT)
    await settled(held)
    writeFileSync(`${harness.directory}/tasks.cedar`, POLICIES)
    await harness.broker.reload()
    expect((await held.line.next('revoked')).ended_by).toBe('policy')
  })

  test('is stopped where that cannot be decided: unknown means no', async () => {
    await using harness = await start()
    const held = await (await harness.client()).grant({ claimed: HERE })
    harness.shop.tasks.delete('deploy')
    tell(held, { ...HERE, branch: 'release' })
    expect(await held.line.next('revoked')).toMatchObject({
      ended_by: 'context',
      reason: expect.stringContaining("'shop' has no task 'deploy'"),
    })
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })

  test("can't be said on a lifeline that doesn't carry the grant", async () => {
    await using harness = await start()
    const held = await (await harness.client()).grant({ claimed: HERE })
    const thief = await (await harness.client({ sub: 'thief' })).grant()
    tell({ ...thief, granted: held.granted }, EXPERIMENT)
    await expect(thief.line.next('revoked')).rejects.toThrow(/not on this lifeline/)
    expect(harness.shop.handles.size).toBe(2)
  })

  test('is another matter for a pipeline: its issuer says where it runs, whatever it tells', async () => {
    const audience = 'https://jit.test'
    const github = await PipelineIssuer.start('github', { audience })
    await using harness = await start({
      identity: [
        `{ issuer: https://token.actions.githubusercontent.com, kind: pipeline, audience: '${audience}',
     repositories: { github.com/acme/shop: { id: 12345, owner_id: 678, groups: { oncall: {} } } } }`,
      ],
      issuers: [github.provider],
    })
    const client = new TestClient(harness.url, Date.now)
    const token = await github.token({}, { now: Math.floor(Date.now() / 1000) })
    await client.take(await client.exchange(token))
    const held = await client.grant()
    tell(held, EXPERIMENT)
    await settled(held)
    expect(harness.shop.handles.size).toBe(1)
    expect(await changes(harness, held)).toEqual([])
  })
})

describe('a task that says on_context_change: renewal', () => {
  test('goes on where policy denies it, until its renewal is denied', async () => {
    let offset = 0
    await using harness = await start({ ...LATER, now: () => Date.now() + offset })
    const held = await (await harness.client()).grant({ claimed: HERE, ttl: 900 })
    tell(held, EXPERIMENT)
    offset += 600_000
    held.line.send({ type: 'renew', grant: held.granted.grant })
    await expect(held.line.next('renewed')).rejects.toThrow(/denied.*not-from-experiments/)
    expect(harness.shop.handles.size).toBe(1)
    expect(await changes(harness, held)).toMatchObject([{ permitted: false, claimed: EXPERIMENT }])
    offset += 301_000
    expect((await held.line.next('revoked')).ended_by).toBe('ttl')
  })

  test('is renewed again once it stands where it may', async () => {
    let offset = 0
    await using harness = await start({ ...LATER, now: () => Date.now() + offset })
    const held = await (await harness.client()).grant({ claimed: HERE, ttl: 900 })
    tell(held, EXPERIMENT)
    tell(held, HERE)
    offset += 600_000
    held.line.send({ type: 'renew', grant: held.granted.grant })
    expect(Date.parse((await held.line.next('renewed')).expires_at)).toBeGreaterThan(
      Date.parse(held.granted.expires_at),
    )
  })

  test('is not cut in half by policies that are read again meanwhile', async () => {
    await using harness = await start(LATER)
    const held = await (await harness.client()).grant({ claimed: HERE })
    tell(held, EXPERIMENT)
    await settled(held)
    appendFileSync(`${harness.directory}/tasks.cedar`, '// read again\n')
    await harness.broker.reload()
    await settled(held)
    expect(harness.shop.handles.size).toBe(1)
  })

  test('is not renewed where the new context could not be decided', async () => {
    let offset = 0
    await using harness = await start({ ...LATER, now: () => Date.now() + offset })
    const held = await (await harness.client()).grant({ claimed: HERE, ttl: 900 })
    harness.shop.tasks.delete('deploy')
    tell(held, EXPERIMENT)
    await settled(held)
    expect(await changes(harness, held)).toMatchObject([{ permitted: false, decisions: [] }])
    harness.shop.tasks.add('deploy')
    offset += 600_000
    held.line.send({ type: 'renew', grant: held.granted.grant })
    await expect(held.line.next('renewed')).rejects.toThrow(/denied.*not-from-experiments/)
  })

  test('the other tasks of the same broker end at once', async () => {
    await using harness = await start(LATER)
    const held = await (await harness.client()).grant({ task: 'plan', claimed: HERE })
    tell(held, EXPERIMENT)
    expect((await held.line.next('revoked')).ended_by).toBe('context')
  })
})

describe('what was approved', () => {
  async function approved(harness: Harness): Promise<GrantedLifeline> {
    const line = await (await harness.client({ sub: 'dev' })).connect()
    const details = { environment: 'prod', targets: ['vault'], claimed: HERE }
    line.send({ type: 'request', key: 'k', details: request(details) })
    const { grant } = await line.next('pending')
    const dana = await harness.client({ sub: 'dana', groups: ['oncall'] })
    const { body } = await dana.call('GET', `/v1/approvals/${grant}`)
    await dana.call('POST', `/v1/grants/${grant}/approve`, { hash: body.hash })
    const granted = await line.next('granted')
    line.send({ type: 'received', grant })
    return { line, granted }
  }

  test.each([
    ['another branch', { ...HERE, branch: 'release' }],
    ['another repository', { ...HERE, repository: 'github.com/mallory/shop' }],
    ['no branch', { ...HERE, branch: '' }],
    ['no repository', { repository: '', branch: '', commit: '', dirty: false }],
  ])('counts for nothing on %s', async (_, claimed) => {
    await using harness = await start()
    const held = await approved(harness)
    tell(held, claimed)
    expect(await held.line.next('revoked')).toMatchObject({
      ended_by: 'context',
      reason: expect.stringContaining('policy wants a new approval (production-needs-oncall)'),
    })
  })

  test('counts on after a commit to the same branch', async () => {
    await using harness = await start()
    const held = await approved(harness)
    tell(held, { ...HERE, commit: 'b'.repeat(40), dirty: true })
    await settled(held)
    expect(await changes(harness, held)).toMatchObject([{ permitted: true }])
  })
})
