import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { Harness, request, type TestClient } from './harness.ts'
import { approve, ask, POLICIES, PROD } from './waiting.ts'

/** Deploys in production are approved by a sign-in newer than the request. */
const REAUTH = `
@id("newly-signed-in") forbid (principal, action == Action::"approve", resource)
unless { context.method == "reauth" };`

let harness: Harness
const started: Harness[] = []
async function start(options: Parameters<typeof Harness.start>[0] = {}): Promise<void> {
  harness = await Harness.start({ policies: POLICIES, ...options })
  started.push(harness)
}
beforeEach(() => start())
afterEach(async () => {
  for (const one of started.splice(0)) await one[Symbol.asyncDispose]()
})

const person = (sub: string, groups: string[] = [], more: Record<string, unknown> = {}) =>
  harness.client({ sub, preferred_username: sub, groups, ...more })
const dana = (more: Record<string, unknown> = {}) => person('dana', ['oncall'], more)

const stateOf = async (client: TestClient, grant: string) =>
  (await client.call('GET', `/v1/grants/${grant}`)).body.grants[0].state

async function audit() {
  const admin = await person('auditor', ['admins'])
  const { body } = await admin.call('GET', '/v1/audit')
  return body.entries as Record<string, unknown>[]
}

describe('a request that policy wants an approval for', () => {
  test('waits, names the approvers and the policy, and is minted once somebody of them says yes', async () => {
    const { line, pending } = await ask(await person('dev'))
    expect(pending.obligation).toEqual({ approvals: [{ group: 'oncall', people: 1 }] })
    expect(pending.policies).toEqual(['production-needs-oncall'])
    const answer = await approve(await dana(), pending.grant)
    expect(answer.body).toMatchObject({ state: 'approved', obligation: { approvals: [] } })
    expect((await line.next('approved')).approvals).toMatchObject([
      { approver: { name: 'dana' }, groups: ['oncall'], method: 'session' },
    ])
    const granted = await line.next('granted')
    expect(granted.grant).toBe(pending.grant)
    expect(granted.credentials.map(({ target }) => target)).toEqual(['vault'])
  })

  test('waits for two where policy wants two, and the same person twice is one', async () => {
    const { line, pending } = await ask(await person('dev'), { task: 'plan' })
    expect(pending.obligation.approvals).toEqual([{ group: 'oncall', people: 2 }])
    const first = await dana()
    expect((await approve(first, pending.grant)).body.state).toBe('pending')
    expect((await approve(first, pending.grant)).body.state).toBe('pending')
    expect((await approve(await person('kim', ['oncall']), pending.grant)).body.state).toBe(
      'approved',
    )
    await line.next('granted')
  })

  test('two approvers who click at the same moment are both counted', async () => {
    const { line, pending } = await ask(await person('dev'), { task: 'plan' })
    const people = await Promise.all([dana(), person('kim', ['oncall'])])
    const answers = await Promise.all(people.map((one) => approve(one, pending.grant)))
    expect(answers.map(({ body }) => body.state).sort()).toEqual(['approved', 'pending'])
    await line.next('granted')
  })

  test('is denied at once where no approval would help', async () => {
    const line = await (await person('dev')).connect()
    line.send({ type: 'request', key: 'k', details: request({ ...PROD, ttl: 3000 }) })
    await expect(line.next('granted')).rejects.toThrow(/only-short/)
  })

  test('shows the approver the whole request, rights and provenance included', async () => {
    const { pending } = await ask(await person('dev'), { ticket: 'OPS-1' })
    const { body } = await (await dana()).call('GET', `/v1/approvals/${pending.grant}`)
    expect(body.subject).toMatchObject({
      grant: pending.grant,
      principal: { kind: 'human', name: 'dev' },
      environment: 'prod',
      tier: 'production',
      targets: [
        {
          name: 'vault',
          type: 'fake',
          sensitivity: 'restricted',
          rights: ['fake-deploy'],
          delivery: 'env',
        },
      ],
      ttl: 900,
      context: {
        repository: '',
        claimed: { branch: 'main' },
        ticket: 'OPS-1',
        reason: 'release 12',
      },
    })
    expect(body.policies).toEqual([
      { id: 'production-needs-oncall', description: 'production needs the approval of oncall' },
    ])
    const list = await (await dana()).call('GET', '/v1/approvals')
    expect(list.body.requests).toEqual([body])
  })

  test('ends with a no, and the requester is told by whom and why', async () => {
    const { line, pending } = await ask(await person('dev'))
    const approver = await dana()
    const denied = await approver.call('POST', `/v1/grants/${pending.grant}/deny`, {
      reason: 'not today',
    })
    expect(denied.body.state).toBe('refused')
    await expect(line.next('granted')).rejects.toThrow(/approval_denied.*dana denied it: not today/)
    const path = `/v1/grants/${pending.grant}/approve`
    const late = await approver.call('POST', path, { hash: denied.body.hash })
    expect(late).toMatchObject({ status: 409, body: { code: 'grant_ended' } })
  })

  test('is withdrawn when its connection is lost, and nobody can approve it then', async () => {
    const dev = await person('dev')
    const { line, pending } = await ask(dev)
    line.cut()
    await expect.poll(() => stateOf(dev, pending.grant)).toBe('refused')
    expect((await approve(await dana(), pending.grant)).status).toBeGreaterThanOrEqual(400)
  })

  test('is found again by the same key on a new connection', async () => {
    const dev = await person('dev')
    const { line, pending, key } = await ask(dev)
    line.cut()
    const again = await dev.connect()
    again.send({ type: 'request', key, details: request(PROD) })
    expect((await again.next('pending')).grant).toBe(pending.grant)
    await approve(await dana(), pending.grant)
    await again.next('granted')
  })

  test('outlives its connection once detached', async () => {
    const dev = await person('dev')
    const { line, pending } = await ask(dev)
    line.send({ type: 'detach', grant: pending.grant })
    expect(await line.closed).toBe(LIFELINE_CLOSE.done)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect((await approve(await dana(), pending.grant)).body.state).toBe('approved')
  })

  test('is withdrawn by its own requester', async () => {
    const dev = await person('dev')
    const { line, pending } = await ask(dev)
    const { body } = await dev.call('POST', `/v1/grants/${pending.grant}/revoke`)
    expect(body).toEqual({ grant: pending.grant, state: 'refused' })
    await expect(line.next('granted')).rejects.toThrow(/grant_ended/)
  })

  test('lapses', async () => {
    let now = Date.now()
    await start({ now: () => now, limits: 'approval: { lapse: 10m }' })
    const { line, pending } = await ask(await person('dev'))
    const approver = await dana()
    now += 9 * 60_000
    expect((await approver.call('GET', '/v1/approvals')).body.requests).toHaveLength(1)
    now += 61_000
    await expect(line.next('granted')).rejects.toThrow(/request_lapsed/)
    expect((await approve(approver, pending.grant)).status).toBeGreaterThanOrEqual(400)
  })

  test('is decided again when it is minted: a policy of today denies it', async () => {
    const { writeFileSync } = await import('node:fs')
    const { line, pending } = await ask(await person('dev'))
    writeFileSync(
      `${harness.directory}/tasks.cedar`,
      `${POLICIES}@id("freeze") forbid (principal, action, resource) when { resource.tier == "production" };`,
    )
    await harness.broker.reload()
    await approve(await dana(), pending.grant)
    await expect(line.next('granted')).rejects.toThrow(/freeze/)
    expect(harness.targets.vault?.handles.size).toBe(0)
    const entries = await audit()
    const [before, after] = ['grant.pending', 'grant.denied'].map((one) =>
      entries.find(({ event }) => event === one),
    )
    expect(after?.policy_version).toMatch(/^[0-9a-f]{64}$/)
    expect(after?.policy_version).not.toBe(before?.policy_version)
  })

  test('is recorded from request to outcome, with who approved what, and no secret', async () => {
    const { line, pending } = await ask(await person('dev'))
    await approve(await dana(), pending.grant)
    await line.next('granted')
    const entries = (await audit()).filter(({ grant }) => grant === pending.grant)
    expect(entries.map(({ event }) => event)).toEqual([
      'grant.pending',
      'grant.approved',
      'grant.permitted',
      'grant.granted',
    ])
    expect(entries[1]).toMatchObject({
      principal: { name: 'dana' },
      method: 'session',
      enough: true,
    })
    expect(entries[2]?.approvals).toEqual([
      { approver: 'idp.test/dana', method: 'session', subject_hash: entries[1]?.subject_hash },
    ])
    expect(JSON.stringify(entries)).not.toContain('secret-of')
  })
})

describe('who may approve', () => {
  test('never the requester, from whatever session', async () => {
    const { pending } = await ask(await dana())
    const again = await dana()
    expect((await again.call('GET', '/v1/approvals')).body.requests).toEqual([])
    const { body: shown } = await again.call('GET', `/v1/approvals/${pending.grant}`)
    const answer = await again.call('POST', `/v1/grants/${pending.grant}/approve`, {
      hash: shown.hash,
    })
    expect(answer).toMatchObject({ status: 403, body: { code: 'denied' } })
  })

  test('never an agent, though its person might', async () => {
    const { pending } = await ask(await person('dev'))
    const agent = await harness.delegated(await dana())
    const answer = await agent.call('POST', `/v1/grants/${pending.grant}/approve`, {
      hash: '0'.repeat(64),
    })
    expect(answer).toMatchObject({ status: 403, body: { code: 'denied' } })
  })

  test('nobody whom policy does not permit: for them there is no such request', async () => {
    const { pending } = await ask(await person('dev'))
    const other = await person('mallory', ['dba'])
    expect((await other.call('GET', `/v1/approvals/${pending.grant}`)).status).toBe(404)
    const answer = await other.call('POST', `/v1/grants/${pending.grant}/approve`, {
      hash: '0'.repeat(64),
    })
    expect(answer.status).toBe(404)
  })

  test('for an agent, its owner alone is not enough where policy wants somebody else', async () => {
    const owner = await dana()
    const { line, pending } = await ask(await harness.delegated(owner))
    expect((await approve(owner, pending.grant)).body.state).toBe('pending')
    expect((await approve(await person('kim', ['oncall']), pending.grant)).body.state).toBe(
      'approved',
    )
    await line.next('granted')
  })

  test('only with a sign-in newer than the request, where policy wants that', async () => {
    await start({ policies: POLICIES + REAUTH })
    const approver = await dana()
    const { line, pending } = await ask(await person('dev'))
    const { body } = await approver.call('GET', `/v1/approvals/${pending.grant}`)
    const path = `/v1/grants/${pending.grant}/approve`
    const refused = await approver.call('POST', path, { hash: body.hash })
    expect(refused).toMatchObject({
      status: 401,
      body: { code: 'insufficient_user_authentication' },
    })
    const auth_time = Math.floor(Date.now() / 1000) + 2
    await approver.exchange(await harness.idToken({ sub: 'dana', groups: ['oncall'], auth_time }))
    const answer = await approver.call('POST', path, { hash: body.hash })
    expect(answer.body.approvals).toMatchObject([{ method: 'reauth' }])
    await line.next('granted')
  })

  test('a sign-in made for one request does not approve another', async () => {
    await start({ policies: POLICIES + REAUTH })
    const approver = await dana()
    const { pending } = await ask(await person('dev'))
    const { body } = await approver.call('GET', `/v1/approvals/${pending.grant}`)
    const auth_time = Math.floor(Date.now() / 1000) + 2
    const signIn = { sub: 'dana', groups: ['oncall'], auth_time }
    await approver.exchange(await harness.idToken({ ...signIn, nonce: 'f'.repeat(64) }))
    const path = `/v1/grants/${pending.grant}/approve`
    expect((await approver.call('POST', path, { hash: body.hash })).status).toBe(401)
    await approver.exchange(await harness.idToken({ ...signIn, nonce: body.hash }))
    expect((await approver.call('POST', path, { hash: body.hash })).status).toBe(200)
  })
})

describe('what is approved is what is minted', () => {
  test('the yes of somebody who was cut off since counts no more', async () => {
    const dev = await person('dev')
    const { body: asked } = await dev.call('POST', '/v1/grants', {
      key: 'k',
      details: request(PROD),
    })
    expect((await approve(await dana(), asked.id)).body.state).toBe('approved')
    const admin = await person('root', ['admins'])
    expect((await admin.call('POST', '/v1/revoke', { user: 'idp.test/dana' })).status).toBe(200)
    const line = await dev.connect()
    const { claimed, command } = request()
    line.send({ type: 'redeem', grant: asked.id, claimed, command })
    expect((await line.next('pending')).obligation.approvals).toEqual([
      { group: 'oncall', people: 1 },
    ])
  })

  test('a hash of anything else approves nothing', async () => {
    const { pending } = await ask(await person('dev'))
    const path = `/v1/grants/${pending.grant}/approve`
    const answer = await (await dana()).call('POST', path, { hash: '0'.repeat(64) })
    expect(answer).toMatchObject({ status: 409, body: { code: 'request_changed' } })
  })

  test('an approval counts for nothing once the rights behind the task are others', async () => {
    const dev = await person('dev')
    const { body: asked } = await dev.call('POST', '/v1/grants', {
      key: 'k',
      details: request(PROD),
    })
    const approver = await dana()
    expect((await approve(approver, asked.id)).body.state).toBe('approved')
    const { vault } = harness.targets
    if (!vault) throw new Error('no vault')
    vault.rights = () => ['superuser']
    const line = await dev.connect()
    const { claimed, command } = request()
    line.send({ type: 'redeem', grant: asked.id, claimed, command })
    expect((await line.next('pending')).obligation.approvals).toEqual([
      { group: 'oncall', people: 1 },
    ])
    expect(vault.handles.size).toBe(0)
    const { body: list } = await approver.call('GET', '/v1/approvals')
    expect(list.requests).toMatchObject([{ subject: { grant: asked.id }, approvals: [] }])
    const wanting = (await audit()).find(({ event }) => event === 'grant.wanting')
    expect(wanting).toMatchObject({ policy_version: expect.stringMatching(/^[0-9a-f]{64}$/) })
    expect((await approve(approver, asked.id)).body.state).toBe('approved')
    await line.next('granted')
  })
})

describe('a request that is asked ahead', () => {
  const { claimed, command } = request()

  async function approved(dev: TestClient): Promise<string> {
    const { status, body } = await dev.call('POST', '/v1/grants', {
      key: 'k',
      details: request(PROD),
    })
    expect([status, body.state]).toEqual([201, 'pending'])
    expect((await approve(await dana(), body.id)).body.state).toBe('approved')
    return body.id
  }

  test('is used once, under the same id, by another session of the same person', async () => {
    const grant = await approved(await person('dev'))
    const dev = await person('dev')
    const line = await dev.connect()
    line.send({ type: 'redeem', grant, claimed, command })
    expect((await line.next('granted')).grant).toBe(grant)
    line.send({ type: 'received', grant })
    line.send({ type: 'release', grant, outcome: { code: 0, signal: null } })
    expect((await line.next('released')).receipt.grant).toBe(grant)
    const again = await dev.connect()
    again.send({ type: 'redeem', grant, claimed, command })
    await expect(again.next('granted')).rejects.toThrow(/grant_ended/)
  })

  test('two who use it at once get one grant', async () => {
    const grant = await approved(await person('dev'))
    const sessions = await Promise.all([person('dev'), person('dev')])
    const lines = await Promise.all(sessions.map((one) => one.connect()))
    for (const line of lines) line.send({ type: 'redeem', grant, claimed, command })
    const outcomes = await Promise.allSettled(lines.map((line) => line.next('granted')))
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(harness.targets.vault?.handles.size).toBe(1)
  })

  test.each([
    ['another command', { command: { ...command, argv: ['rm', '-rf'] } }],
    ['another directory', { command: { ...command, directory: '/tmp' } }],
    ['another program', { command: { ...command, executable: '/tmp/true' } }],
    ['another branch', { claimed: { ...claimed, branch: 'other' } }],
    ['another commit', { claimed: { ...claimed, commit: 'abc' } }],
    ['another repository', { claimed: { ...claimed, repository: 'github.com/acme/other' } }],
    ['a working tree that was changed', { claimed: { ...claimed, dirty: true } }],
  ])('is not used by %s, which does not use it up', async (_, other) => {
    const dev = await person('dev')
    const grant = await approved(dev)
    const line = await dev.connect()
    line.send({ type: 'redeem', grant, claimed, command, ...other })
    await expect(line.next('granted')).rejects.toThrow(/request_changed/)
    const denied = (await audit()).filter(({ event }) => event === 'grant.denied')
    expect(denied).toMatchObject([{ grant, reason: { code: 'request_changed' } }])
    const right = await dev.connect()
    right.send({ type: 'redeem', grant, claimed, command })
    await right.next('granted')
  })

  test('is nobody else’s to use', async () => {
    const grant = await approved(await person('dev'))
    const line = await (await person('mallory')).connect()
    line.send({ type: 'redeem', grant, claimed, command })
    await expect(line.next('granted')).rejects.toThrow(/not_found/)
  })

  test('that policy permits already needs nothing more', async () => {
    const dev = await person('dev')
    const { body } = await dev.call('POST', '/v1/grants', { key: 'k', details: request() })
    expect(body.state).toBe('approved')
    const line = await dev.connect()
    line.send({ type: 'redeem', grant: body.id, claimed, command })
    await line.next('granted')
  })

  test('that policy denies is denied, and recorded', async () => {
    const dev = await person('dev')
    const answer = await dev.call('POST', '/v1/grants', {
      key: 'k',
      details: request({ ...PROD, ttl: 3000 }),
    })
    expect(answer).toMatchObject({ status: 403, body: { code: 'denied' } })
    expect((await audit()).some(({ event }) => event === 'grant.denied')).toBe(true)
  })

  test('ends when its requester signs out', async () => {
    const dev = await person('dev')
    const grant = await approved(dev)
    await dev.logout()
    await expect.poll(async () => stateOf(await person('dev'), grant)).toBe('refused')
  })
})

describe('step-up (RFC 9470)', () => {
  const FRESH = `
@id("everyone") permit (principal, action, resource);
@id("fresh") forbid (principal, action, resource)
when { resource.tier == "production" && context.authentication.age > 300 };
@id("strong") forbid (principal, action == Action::"plan", resource)
when { resource.tier == "production" && context.authentication.acr != "urn:mfa" };`
  const HOUR_AGO = { auth_time: Math.floor(Date.now() / 1000) - 3600 }

  test('a sign-in that is too old is wanted anew, and the same request goes on', async () => {
    await start({ policies: FRESH })
    const dev = await person('dev', [], HOUR_AGO)
    const { line, pending } = await ask(dev)
    expect(pending.obligation).toEqual({ sign_in: { max_age: 60, acr_values: [] }, approvals: [] })
    line.send({ type: 'continue', grant: pending.grant })
    expect((await line.next('pending')).obligation.sign_in).toBeDefined()
    await dev.exchange(await harness.idToken({ sub: 'dev', preferred_username: 'dev' }))
    line.send({ type: 'continue', grant: pending.grant })
    expect((await line.next('granted')).grant).toBe(pending.grant)
  })

  test('a stronger sign-in is wanted by its acr', async () => {
    await start({ policies: FRESH })
    const dev = await person('dev')
    const { line, pending } = await ask(dev, { task: 'plan' })
    expect(pending.obligation.sign_in).toEqual({ max_age: 60, acr_values: ['urn:mfa'] })
    await dev.exchange(
      await harness.idToken({ sub: 'dev', preferred_username: 'dev', acr: 'urn:mfa' }),
    )
    line.send({ type: 'continue', grant: pending.grant })
    await line.next('granted')
  })
})

describe('an emergency', () => {
  const BREAK_GLASS = `${POLICIES.replace(
    'unless { context.approvals.contains(Group::"oncall") }',
    'unless { context.approvals.contains(Group::"oncall") || context.breakGlass && principal in Group::"oncall" }',
  )}`

  test('is granted where policy permits, marked in the log, and listed until somebody else acknowledges it', async () => {
    await start({ policies: BREAK_GLASS })
    const oncall = await dana()
    const { granted } = await oncall.grant({ ...PROD, break_glass: true })
    const other = await person('kim', ['oncall'])
    const listed = async (client: TestClient) =>
      (await client.call('GET', '/v1/approvals')).body.unacknowledged.map(
        ({ id }: { id: string }) => id,
      )
    expect(await listed(other)).toEqual([granted.grant])
    const path = `/v1/grants/${granted.grant}/acknowledge`
    expect((await oncall.call('POST', path)).status).toBe(403)
    expect((await other.call('POST', path)).status).toBe(200)
    expect(await listed(other)).toEqual([])
    const events = (await audit()).filter(({ break_glass }) => break_glass === true)
    expect(events.map(({ event }) => event)).toEqual(['grant.permitted', 'grant.acknowledged'])
  })

  test('needs a reason', async () => {
    await start({ policies: BREAK_GLASS })
    const line = await (await dana()).connect()
    const details = request({ ...PROD, reason: ' ', break_glass: true })
    line.send({ type: 'request', key: 'k', details })
    await expect(line.next('granted')).rejects.toThrow(/needs a reason/)
  })

  test('is no way in for those whom policy does not permit it', async () => {
    await start({ policies: BREAK_GLASS })
    const { pending } = await ask(await person('dev'), { break_glass: true })
    expect(pending.obligation.approvals).toEqual([{ group: 'oncall', people: 1 }])
  })
})

test('an agent gets nothing that its owner would not get', async () => {
  await start({
    policies: `@id("all") permit (principal, action, resource);
@id("no-people") forbid (principal is Human, action == Action::"deploy", resource);`,
  })
  const agent = await harness.delegated(await person('dev'))
  const line = await agent.connect()
  line.send({ type: 'request', key: 'k1', details: request() })
  await expect(line.next('granted')).rejects.toThrow(/no-people/)
  const ahead = await agent.call('POST', '/v1/grants', { key: 'k2', details: request() })
  expect(ahead).toMatchObject({ status: 403, body: { code: 'denied' } })
  await agent.grant({ task: 'plan' })
})
