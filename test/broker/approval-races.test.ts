import { writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeGitHub } from './fake-github.ts'
import { FakeTarget, Harness, request, type TestClient } from './harness.ts'
import { querySql } from './harness-store.ts'
import { approve, ask, POLICIES, PROD } from './waiting.ts'

let harness: Harness
const started: AsyncDisposable[] = []
async function start(options: Parameters<typeof Harness.start>[0] = {}): Promise<void> {
  harness = await Harness.start({ policies: POLICIES, ...options })
  started.push(harness)
}
beforeEach(() => start())
afterEach(async () => {
  for (const one of started.splice(0).reverse()) await one[Symbol.asyncDispose]()
})

const { claimed, command } = request()
const person = (sub: string, groups: string[] = [], more: Record<string, unknown> = {}) =>
  harness.client({ sub, preferred_username: sub, groups, ...more })
const dana = (more: Record<string, unknown> = {}) => person('dana', ['oncall'], more)

const stateOf = async (client: TestClient, grant: string) =>
  (await client.call('GET', `/v1/grants/${grant}`)).body.grants[0].state

function vault(): FakeTarget {
  const { vault } = harness.targets
  if (!vault) throw new Error('no vault')
  return vault
}

/** Asks ahead for production, approved by dana. */
async function approved(dev: TestClient, key = 'k'): Promise<string> {
  const { body } = await dev.call('POST', '/v1/grants', { key, details: request(PROD) })
  expect((await approve(await dana(), body.id)).body.state).toBe('approved')
  return body.id
}

async function redeem(client: TestClient, grant: string) {
  const line = await client.connect()
  line.send({ type: 'redeem', grant, claimed, command })
  return line
}

/** A broker whose vault, asked what it is before a mint, says so once it is let go. */
async function startHeld() {
  const begun = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const held = new FakeTarget('vault')
  held.beforeIdentity = async () => {
    // As the broker starts: so that it is asked again.
    held.beforeIdentity = async () => {
      begun.resolve()
      await gate.promise
    }
    throw new Error('not yet')
  }
  await start({ targets: { shop: new FakeTarget('shop'), vault: held } })
  return { begun: begun.promise, letGo: gate.resolve }
}

/** Changes what is recorded, as another configuration would have recorded it. */
async function rewrite(grant: string, column: string, value: string | number): Promise<void> {
  const update = `UPDATE grants SET ${column} = ? WHERE id = ?`
  await querySql(harness.directory, update, [value, grant])
}

describe('two at once', () => {
  test('who uses a request second does not cut off who was first', async () => {
    const grant = await approved(await person('dev'))
    const [first, second] = await Promise.all([person('dev'), person('dev')])
    const line = await redeem(first, grant)
    await line.next('granted')
    const late = await redeem(second, grant)
    await expect(late.next('granted')).rejects.toThrow(/grant_ended/)
    await late.closed
    line.send({ type: 'received', grant })
    line.send({ type: 'release', grant, outcome: { code: 0, signal: null } })
    expect((await line.next('released')).receipt.ended_by).toBe('exit')
  })

  test('who approves second is told that it is approved, not that it lapsed', async () => {
    const { pending } = await ask(await person('dev'))
    const names = ['kim', 'lee', 'max', 'nia', 'ola', 'pam', 'quy', 'ria']
    const people = await Promise.all(names.map((name) => person(name, ['oncall'])))
    const shown = await (await dana()).call('GET', `/v1/approvals/${pending.grant}`)
    const { hash } = shown.body
    const answers = await Promise.all(
      people.map((one) => one.call('POST', `/v1/grants/${pending.grant}/approve`, { hash })),
    )
    const said = answers.map(({ body }) => body.code ?? body.state)
    expect(said.filter((one) => one !== 'grant_ended')).toEqual(['approved'])
  })

  test('a no that comes while the request is decided again is told at once', async () => {
    const github = await FakeGitHub.start()
    started.unshift(github)
    await start({ limits: `forge: { type: github, url: '${github.url}', token: env:SECRET }` })
    const dev = await person('dev')
    const approver = await dana()
    const details = request({ ...PROD, claimed: { ...claimed, commit: 'a'.repeat(40) } })
    const { body } = await dev.call('POST', '/v1/grants', { key: 'k', details })
    const asked = Promise.withResolvers<() => void>()
    github.answer = (_, response) => asked.resolve(() => response.writeHead(404).end('{}'))
    const again = request({ ...PROD, claimed: { ...claimed, commit: 'b'.repeat(40) } })
    await rewrite(body.id, 'context', JSON.stringify({ ...contextOf(again) }))
    const line = await dev.connect()
    line.send({ type: 'redeem', grant: body.id, claimed: again.claimed, command })
    const answer = await asked.promise
    await approver.call('POST', `/v1/grants/${body.id}/deny`, { reason: 'no' })
    answer()
    await expect(line.next('granted')).rejects.toThrow(/approval_denied/)
  })
})

function contextOf(details: ReturnType<typeof request>) {
  const { reason, break_glass, ticket, labels } = details
  const signed = { repository: '', branch: '', commit: '' }
  return { ...signed, claimed: details.claimed, command, reason, break_glass, ticket, labels }
}

describe('a connection that is lost', () => {
  test('between the yes and the mint is made anew, and gets the grant', async () => {
    const { begun, letGo } = await startHeld()
    const dev = await person('dev')
    const { line, pending, key } = await ask(dev)
    await approve(await dana(), pending.grant)
    await begun
    line.cut()
    await line.closed
    const again = await dev.connect()
    again.send({ type: 'request', key, details: request(PROD) })
    await again.next('requested')
    letGo()
    expect((await again.next('granted')).grant).toBe(pending.grant)
  })

  test('before its request was recorded leaves nothing that is tried for ever', async () => {
    await start({ limits: 'limits: { grants_per_principal: 1 }' })
    const dev = await person('dev')
    await ask(dev)
    const line = await dev.connect()
    line.send({ type: 'request', key: 'one-too-many', details: request(PROD) })
    await expect(line.next('pending')).rejects.toThrow(/limit_reached/)
    await line.closed
    // Past the grace.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(harness.log.filter((entry) => entry.includes('lost lifeline'))).toEqual([])
  })

  test('after giving back what was never granted withdraws the request', async () => {
    const dev = await person('dev')
    const { line, pending } = await ask(dev)
    line.send({ type: 'release', grant: pending.grant, outcome: { code: 0, signal: null } })
    await line.closed
    await expect.poll(() => stateOf(dev, pending.grant)).toBe('refused')
  })
})

describe('what has changed since the yes', () => {
  test('an approver who is cut off while it is minted counts no more', async () => {
    const { begun, letGo } = await startHeld()
    const dev = await person('dev')
    const grant = await approved(dev)
    const admin = await person('root', ['admins'])
    const line = await redeem(dev, grant)
    await begun
    expect((await admin.call('POST', '/v1/revoke', { user: 'idp.test/dana' })).status).toBe(200)
    letGo()
    expect((await line.next('pending')).obligation.approvals).toEqual([
      { group: 'oncall', people: 1 },
    ])
    expect(vault().handles.size).toBe(0)
  })

  test('a yes counts for as long as the sign-in behind it', async () => {
    const dev = await person('dev')
    const grant = await approved(dev)
    // Cut off until before the yes, but after the sign-in that it was given in.
    const until = Date.now() - 5000
    const insert = 'INSERT INTO cut_offs VALUES (?, ?)'
    await querySql(harness.directory, insert, ['idp.test/dana', until])
    const line = await redeem(dev, grant)
    expect((await line.next('pending')).obligation.approvals).toEqual([
      { group: 'oncall', people: 1 },
    ])
  })

  test('a yes counts for no group that its approver has left since', async () => {
    const dev = await person('dev')
    const grant = await approved(dev)
    await person('dana', ['dba'])
    const line = await redeem(dev, grant)
    expect((await line.next('pending')).obligation.approvals).toEqual([
      { group: 'oncall', people: 1 },
    ])
  })

  test('the requester is called otherwise, and the grant goes on', async () => {
    const dev = await person('dev', [], { sub: 'u9' })
    const { line, pending } = await ask(dev)
    await approve(await dana(), pending.grant)
    const { grant } = await line.next('granted')
    line.send({ type: 'received', grant })
    await dev.take(await dev.exchange(await harness.idToken({ sub: 'u9', groups: ['dba'] })))
    for (const id of ['one', 'two']) {
      writeFileSync(
        `${harness.directory}/tasks.cedar`,
        `${POLICIES}@id("${id}") forbid (principal, action, resource) when { context.ttl > 9999 };`,
      )
      await harness.broker.reload()
    }
    expect(await stateOf(dev, grant)).toBe('active')
  })

  test('a target that allows less time by now does not give more', async () => {
    await start({ policies: POLICIES.replace('context.ttl > 1800', 'context.ttl > 18000') })
    const dev = await person('dev')
    const { body } = await dev.call('POST', '/v1/grants', { key: 'k', details: request() })
    await rewrite(body.id, 'ttl_seconds', 10_800)
    const line = await redeem(dev, body.id)
    await expect(line.next('granted')).rejects.toThrow(/longer than 'shop' allows/)
    expect(await stateOf(dev, body.id)).toBe('approved')
  })

  test('a target in another environment is not what was asked for', async () => {
    const dev = await person('dev')
    const grant = await approved(dev)
    await rewrite(grant, 'environment', 'dev')
    const line = await redeem(dev, grant)
    await expect(line.next('granted')).rejects.toThrow(/target_refused/)
  })

  test('who approves is decided by the tier of today', async () => {
    await start({
      policies: `${POLICIES}
@id("newly-signed-in") forbid (principal, action == Action::"approve", resource)
when { resource.tier == "production" } unless { context.method == "reauth" };`,
    })
    const { pending } = await ask(await person('dev'))
    await rewrite(pending.grant, 'tier', 'development')
    expect((await approve(await dana(), pending.grant)).status).toBe(401)
  })

  test('a grant that the policies of today end says in the log which of them did', async () => {
    const dev = await person('dev')
    const { granted } = await dev.grant()
    const freeze = '@id("freeze") forbid (principal, action, resource == Target::"shop");'
    writeFileSync(`${harness.directory}/tasks.cedar`, POLICIES + freeze)
    await harness.broker.reload()
    const { body } = await (await person('root', ['admins'])).call('GET', '/v1/audit')
    const ends = body.entries.filter(({ event }: { event: string }) => event === 'grant.ended')
    expect(ends).toMatchObject([
      {
        grant: granted.grant,
        ended_by: 'policy',
        policy_version: expect.any(String),
        decisions: [{ target: 'shop', decision: { effect: 'deny', policies: ['freeze'] } }],
      },
    ])
  })

  test('a grant whose target has lost the task ends', async () => {
    const dev = await person('dev')
    const { granted } = await dev.grant()
    harness.shop.tasks.delete('deploy')
    writeFileSync(`${harness.directory}/tasks.cedar`, `${POLICIES}\n// changed`)
    await harness.broker.reload()
    await expect.poll(() => stateOf(dev, granted.grant)).toBe('revoked')
  })
})

describe('who asks too much', () => {
  test('people are not flooded with requests that are withdrawn again', async () => {
    const dev = await person('dev')
    const statuses: number[] = []
    for (let at = 0; at < 70; at++) {
      const { status, body } = await dev.call('POST', '/v1/grants', {
        key: `k${at}`,
        details: request(PROD),
      })
      statuses.push(status)
      if (status === 201) await dev.call('POST', `/v1/grants/${body.id}/revoke`)
    }
    expect(statuses.at(-1)).toBe(429)
  })

  test('nobody fills the log with one request: neither who asked, nor who approves', async () => {
    const { pending } = await ask(await person('dev'), { task: 'plan' })
    const approver = await dana()
    const { hash } = (await approver.call('GET', `/v1/approvals/${pending.grant}`)).body
    const statuses: number[] = []
    for (let at = 0; at < 62; at++) {
      const path = `/v1/grants/${pending.grant}/approve`
      statuses.push((await approver.call('POST', path, { hash })).status)
    }
    expect([statuses[0], statuses.at(-1)]).toEqual([200, 429])
    const dev = await person('dev')
    const { body } = await dev.call('POST', '/v1/grants', { key: 'k', details: request(PROD) })
    for (let at = 0; at < 62; at++) {
      const line = await redeem(dev, body.id)
      await line.next('pending')
      line.send({ type: 'detach', grant: body.id })
      await line.closed
    }
    const { body: log } = await (await person('root', ['admins'])).call('GET', '/v1/audit')
    const detached = log.entries.filter(
      ({ event }: { event: string }) => event === 'grant.detached',
    )
    expect(detached).toHaveLength(60)
    expect(await stateOf(dev, body.id)).toBe('pending')
  })

  test('a request that there isn’t reads as one that is not theirs to see', async () => {
    const { pending } = await ask(await person('dev'))
    const other = await person('mallory')
    const missing = pending.grant.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    for (const path of [`/v1/approvals/ID`, `/v1/grants/ID/approve`, `/v1/grants/ID/deny`]) {
      const method = path.startsWith('/v1/approvals') ? 'GET' : 'POST'
      const body = path.endsWith('approve') ? { hash: '0'.repeat(64) } : {}
      const [real, none] = await Promise.all(
        [pending.grant, missing].map((id) =>
          other.call(method, path.replace('ID', id), method === 'GET' ? undefined : body),
        ),
      )
      expect(real?.status).toBe(404)
      expect(real?.body.detail.replace(pending.grant, missing)).toBe(none?.body.detail)
    }
  })

  test('a key that another session used as well keeps nobody from using what they asked ahead for', async () => {
    const grant = await approved(await person('dev'), 'same')
    const dev = await person('dev')
    await dev.call('POST', '/v1/grants', { key: 'same', details: request() })
    const line = await redeem(dev, grant)
    expect((await line.next('granted')).grant).toBe(grant)
  })
})

describe('an emergency', () => {
  const BREAK_GLASS = POLICIES.replace(
    'unless { context.approvals.contains(Group::"oncall") }',
    'unless { context.approvals.contains(Group::"oncall") || context.breakGlass }',
  ).replace(
    'containsAll(context.approvers) };',
    'containsAll(context.approvers) } unless { context.breakGlass };',
  )

  test('of a copilot is not its owner’s to acknowledge', async () => {
    await start({ policies: BREAK_GLASS })
    const owner = await dana()
    const agent = await harness.delegated(owner)
    const { granted } = await agent.grant({ ...PROD, break_glass: true })
    const path = `/v1/grants/${granted.grant}/acknowledge`
    expect((await owner.call('POST', path)).status).toBe(403)
    expect((await owner.call('GET', '/v1/approvals')).body.unacknowledged).toEqual([])
    expect((await (await person('kim', ['oncall'])).call('POST', path)).status).toBe(200)
  })

  test('is not acknowledged before there is one', async () => {
    await start({ policies: BREAK_GLASS })
    const dev = await person('dev')
    const details = request({ ...PROD, break_glass: true })
    const { body } = await dev.call('POST', '/v1/grants', { key: 'k', details })
    const kim = await person('kim', ['oncall'])
    const path = `/v1/grants/${body.id}/acknowledge`
    expect((await kim.call('POST', path)).status).toBe(400)
    const line = await redeem(dev, body.id)
    await line.next('granted')
    const { body: list } = await kim.call('GET', '/v1/approvals')
    expect(list.unacknowledged.map(({ id }: { id: string }) => id)).toEqual([body.id])
  })
})
