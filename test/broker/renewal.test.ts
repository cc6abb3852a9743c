import { describe, expect, test } from 'vitest'
import { JitError } from '../../src/lib/errors.ts'
import type { AuditEntry } from '../../src/protocol/audit.ts'
import { temporaryFolder } from '../folder.ts'
import {
  FakeTarget,
  type GrantedLifeline,
  Harness,
  type HarnessOptions,
  request,
} from './harness.ts'

/** Seconds that a grant lasts unless it is asked otherwise. */
const TTL = 900

const POLICIES = `
@id("everyone") permit (principal is Human, action, resource);
@id("production-needs-oncall") forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
`

const LATELY = `@id("signed-in-lately") forbid (principal, action, resource)
when { context.authentication.age > 500 };`

/** A broker whose clock a test moves, in seconds. */
async function start(options: HarnessOptions = {}) {
  const clock = { offset: 0 }
  const now = () => Date.now() + clock.offset
  const harness = await Harness.start({ policies: POLICIES, now, ...options })
  return {
    harness,
    now,
    pass: (seconds: number) => {
      clock.offset += seconds * 1000
    },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  }
}

function renew({ line, granted }: GrantedLifeline) {
  line.send({ type: 'renew', grant: granted.grant })
  return line.next('renewed')
}

/** Another's variables, so that one grant may have both. */
class OtherTarget extends FakeTarget {
  override readonly variables = ['OTHER_SECRET']
}

async function eventsOf(harness: Harness, grant: string): Promise<AuditEntry[]> {
  const admin = await harness.client({ sub: 'auditor', groups: ['admins'] })
  const { body } = await admin.call('GET', '/v1/audit')
  return (body.entries as AuditEntry[]).filter((entry) => entry.grant === grant)
}

const named = (events: AuditEntry[], part: string) =>
  events.filter(({ event }) => event.includes(part))

describe('a grant that is renewed', () => {
  test('gets as much time as it was granted from now on, at the target and in the ledger', async () => {
    await using broker = await start()
    const { harness, now, pass } = broker
    const client = await harness.client()
    const held = await client.grant({ ttl: TTL })
    pass(600)
    const { expires_at } = await renew(held)
    const until = Date.parse(expires_at)
    expect(Math.abs(until - now() - TTL * 1000)).toBeLessThan(15_000)
    const [handle = ''] = harness.shop.handles
    expect(harness.shop.deadlines.get(handle)).toBe(until)
    const { body } = await client.call('GET', `/v1/grants/${held.granted.grant}`)
    expect(body.grants[0]).toMatchObject({ state: 'active', expires_at, leases: [{ expires_at }] })
    // Past the first deadline it lives on.
    pass(400)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(harness.shop.handles.size).toBe(1)
  })

  test('is recorded before the target is told, and again when it has come to be', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const client = await harness.client()
    const held = await client.grant({ ttl: TTL })
    let before: string[] = []
    harness.shop.beforeExtend = async () => {
      const events = await eventsOf(harness, held.granted.grant)
      before = named(events, 'renew').map(({ event }) => event)
    }
    pass(600)
    const { expires_at } = await renew(held)
    expect(before).toEqual(['grant.renewing'])
    const events = named(await eventsOf(harness, held.granted.grant), 'renew')
    expect(events).toMatchObject([
      {
        event: 'grant.renewing',
        before: held.granted.expires_at,
        expires_at,
        decisions: [{ target: 'shop', decision: { effect: 'permit', policies: ['everyone'] } }],
        policy_version: expect.any(String),
      },
      { event: 'grant.renewed', before: held.granted.expires_at, expires_at },
    ])
  })

  test('ends at its new deadline', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const held = await (await harness.client()).grant({ ttl: TTL })
    pass(600)
    await renew(held)
    pass(TTL)
    expect((await held.line.next('revoked')).ended_by).toBe('ttl')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })

  test('keeps its deadline while more than half of its time is left: asking often gains nothing', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const held = await (await harness.client()).grant({ ttl: TTL })
    pass(300)
    expect((await renew(held)).expires_at).toBe(held.granted.expires_at)
    expect(harness.shop.deadlines.size).toBe(0)
    expect(named(await eventsOf(harness, held.granted.grant), 'renew')).toEqual([])
  })

  test('never lasts beyond the session', async () => {
    await using broker = await start({
      limits: 'session: { token_ttl: 15m, idle: 20m, max_age: 20m }',
    })
    const { harness, now, pass } = broker
    const started = now()
    const held = await (await harness.client()).grant({ ttl: TTL })
    pass(600)
    const { expires_at } = await renew(held)
    expect(Math.abs(Date.parse(expires_at) - started - 1_200_000)).toBeLessThan(15_000)
    pass(500)
    await expect(renew(held)).rejects.toThrow(/ttl_too_short.*your session ends/)
    expect(harness.shop.handles.size).toBe(1)
  })

  test("is another session's only for its own lifeline", async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const { granted } = await (await harness.client()).grant({ ttl: TTL })
    const thief = await (await harness.client({ sub: 'thief' })).grant({ ttl: TTL })
    pass(600)
    await expect(renew({ ...thief, granted })).rejects.toThrow(/not on this lifeline/)
  })
})

describe('a renewal that policy denies', () => {
  test('is told in words, and another sign-in turns it: decided as it is then', async () => {
    await using broker = await start({ policies: POLICIES + LATELY })
    const { harness, pass } = broker
    const client = await harness.client()
    const held = await client.grant({ ttl: TTL })
    pass(600)
    await expect(renew(held)).rejects.toThrow(
      /denied.*policy wants a fresh sign-in \(signed-in-lately\)/,
    )
    expect(harness.shop.deadlines.size).toBe(0)
    await client.take(await client.exchange(await harness.idToken()))
    pass(6)
    expect(Date.parse((await renew(held)).expires_at)).toBeGreaterThan(
      Date.parse(held.granted.expires_at),
    )
  })

  test('leaves the grant its present deadline, at which it ends', async () => {
    await using broker = await start({ policies: POLICIES + LATELY })
    const { harness, pass } = broker
    const held = await (await harness.client()).grant({ ttl: TTL })
    pass(600)
    await expect(renew(held)).rejects.toThrow(/denied/)
    expect(harness.shop.handles.size).toBe(1)
    pass(301)
    expect((await held.line.next('revoked')).ended_by).toBe('ttl')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
  })
})

describe('targets that cannot', () => {
  test('a kind whose deadline is fixed: nothing is renewed, and it says which', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const details = { task: 'plan', targets: ['shop', 'api'], ttl: TTL }
    const held = await (await harness.client()).grant(details)
    expect(held.granted.credentials.map((one) => [one.target, one.renewable])).toEqual([
      ['shop', true],
      ['api', false],
    ])
    pass(600)
    await expect(renew(held)).rejects.toThrow(/target_refused.*'api' can't be renewed/)
    expect(harness.shop.deadlines.size).toBe(0)
  })

  test('one of two that refuses: the other moves back, and the grant keeps its deadline', async () => {
    const targets = { shop: new FakeTarget('shop'), ware: new OtherTarget('ware') }
    await using broker = await start({ targets })
    const { harness, pass } = broker
    const client = await harness.client()
    const held = await client.grant({ targets: ['shop', 'ware'], ttl: TTL })
    targets.ware.beforeExtend = async () => {
      throw new JitError('target_unreachable', 'ware: no answer')
    }
    pass(600)
    await expect(renew(held)).rejects.toThrow(/target_unreachable.*ware: no answer/)
    const { expires_at } = held.granted
    expect([...targets.shop.deadlines.values()]).toEqual([Date.parse(expires_at)])
    const { body } = await client.call('GET', `/v1/grants/${held.granted.grant}`)
    expect(body.grants[0].expires_at).toBe(expires_at)
    const leases = Object.fromEntries(
      body.grants[0].leases.map((lease: { target: string; expires_at: string }) => [
        lease.target,
        lease.expires_at,
      ]),
    )
    // Nobody knows whether it moved: the ledger never thinks a credential dead that may not be.
    expect(leases.shop).toBe(expires_at)
    expect(Date.parse(leases.ware)).toBeGreaterThan(Date.parse(expires_at))
    expect(named(await eventsOf(harness, held.granted.grant), 'renew')).toMatchObject([
      { event: 'grant.renewing' },
      { event: 'grant.renewal_failed', reason: { code: 'target_unreachable' } },
    ])
    // It may be asked again.
    targets.ware.beforeExtend = async () => {}
    expect(Date.parse((await renew(held)).expires_at)).toBeGreaterThan(Date.parse(expires_at))
  })

  test('a target that is another system now is not told', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const held = await (await harness.client()).grant({ ttl: TTL })
    harness.shop.where = 'system-2'
    pass(600)
    // Who it is was asked a moment ago; a target that fails is asked again.
    harness.shop.beforeMint = async () => {
      throw new JitError('target_unreachable', 'shop: no answer')
    }
    await expect((await harness.client({ sub: 'other' })).grant()).rejects.toThrow(/no answer/)
    await expect(renew(held)).rejects.toThrow(/another system now/)
    expect(harness.shop.deadlines.size).toBe(0)
    harness.shop.where = 'system-1'
  })
})

describe('a renewal that something else crosses', () => {
  test('a revocation while the target moves the deadline wins', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const client = await harness.client()
    const held = await client.grant({ ttl: TTL })
    harness.shop.beforeExtend = async () => {
      const { status } = await client.call('POST', `/v1/grants/${held.granted.grant}/revoke`)
      expect(status).toBe(200)
    }
    pass(600)
    held.line.send({ type: 'renew', grant: held.granted.grant })
    expect((await held.line.next('revoked')).ended_by).toBe('revoked')
    await expect.poll(() => harness.shop.handles.size).toBe(0)
    const events = await eventsOf(harness, held.granted.grant)
    expect(events.map(({ event }) => event)).not.toContain('grant.renewed')
    expect(events.at(-1)?.event).toMatch(/grant\.(revoked|renewal_failed)/)
  })

  test('a release while a target takes its time is answered at once', async () => {
    await using broker = await start()
    const { harness, pass } = broker
    const held = await (await harness.client()).grant({ ttl: TTL })
    const asked = Promise.withResolvers<void>()
    const hung = Promise.withResolvers<void>()
    harness.shop.beforeExtend = async () => {
      asked.resolve()
      await hung.promise
    }
    pass(600)
    // Fewer than may wait: a machine that is busy takes them all at once.
    for (let times = 0; times < 12; times++) {
      held.line.send({ type: 'renew', grant: held.granted.grant })
      await asked.promise
    }
    const outcome = { code: 0, signal: null }
    held.line.send({ type: 'release', grant: held.granted.grant, outcome })
    expect((await held.line.next('released')).receipt.leases).toMatchObject([
      { outcome: 'revoked' },
    ])
    hung.resolve()
    await held.line.closed
    expect(harness.shop.handles.size).toBe(0)
  })

  test('a change of context while a target takes its time is decided at once', async () => {
    await using broker = await start({
      policies: `${POLICIES}
        @id("main") forbid (principal, action, resource) when { context.claimed.branch != "main" };`,
    })
    const { harness, pass } = broker
    const held = await (await harness.client()).grant({ ttl: TTL })
    const asked = Promise.withResolvers<void>()
    const hung = Promise.withResolvers<void>()
    harness.shop.beforeExtend = async () => {
      asked.resolve()
      await hung.promise
    }
    pass(600)
    held.line.send({ type: 'renew', grant: held.granted.grant })
    await asked.promise
    const claimed = { repository: '', branch: 'other', commit: '', dirty: false }
    held.line.send({ type: 'context', grant: held.granted.grant, claimed })
    expect((await held.line.next('revoked')).ended_by).toBe('context')
    hung.resolve()
    await expect.poll(() => harness.shop.handles.size).toBe(0)
    const events = await eventsOf(harness, held.granted.grant)
    expect(events.map(({ event }) => event)).not.toContain('grant.renewed')
  })

  test.each(['renew:intended', 'renew:extended'] as const)(
    'a broker that is gone at %s: the credential is known until the later deadline, the grant ends at the former',
    async (point) => {
      const directory = temporaryFolder('broker')
      const targets = { shop: new FakeTarget('shop') }
      const clock = { offset: 0 }
      const now = () => Date.now() + clock.offset
      const options = { policies: POLICIES, targets, directory, now, lifeline: 'grace: 60s' }
      const first = await Harness.start({
        ...options,
        failpoint: (step) => {
          if (step === point) throw new Error('the process is gone')
        },
      })
      const client = await first.client()
      const held = await client.grant({ ttl: TTL })
      clock.offset += 600_000
      await expect(renew(held)).rejects.toThrow()
      await first.broker.stop()
      await using second = await Harness.start(options)
      const admin = await second.client({ sub: 'a', groups: ['admins'] })
      const show = async () =>
        (await admin.call('GET', `/v1/grants/${held.granted.grant}`)).body.grants[0]
      const restarted = await show()
      expect(restarted).toMatchObject({ state: 'active', expires_at: held.granted.expires_at })
      expect(Date.parse(restarted.leases[0].expires_at)).toBeGreaterThan(
        Date.parse(restarted.expires_at),
      )
      clock.offset += 301_000
      await expect.poll(show).toMatchObject({ state: 'revoked', ended_by: 'ttl' })
      expect(targets.shop.handles.size).toBe(0)
    },
  )

  test('a broker that stops afterwards knows the new deadline when it serves again', async () => {
    const directory = temporaryFolder('broker')
    const targets = { shop: new FakeTarget('shop') }
    const clock = { offset: 0 }
    const now = () => Date.now() + clock.offset
    const options = { policies: POLICIES, targets, directory, now, lifeline: 'grace: 60s' }
    const first = await Harness.start(options)
    const held = await (await first.client()).grant({ ttl: TTL })
    clock.offset += 600_000
    const { expires_at } = await renew(held)
    await first.broker.stop()
    clock.offset += 400_000
    await using second = await Harness.start(options)
    const admin = await second.client({ sub: 'a', groups: ['admins'] })
    const { body } = await admin.call('GET', `/v1/grants/${held.granted.grant}`)
    expect(body.grants[0]).toMatchObject({ state: 'active', expires_at })
    expect(targets.shop.handles.size).toBe(1)
  })
})

describe('approvals of a grant that is renewed', () => {
  const PROD = { environment: 'prod', targets: ['vault'], reason: 'release', ttl: TTL }

  async function approved(harness: Harness) {
    const line = await (await harness.client({ sub: 'dev' })).connect()
    line.send({ type: 'request', key: 'k', details: request(PROD) })
    const { grant } = await line.next('pending')
    const dana = await harness.client({ sub: 'dana', groups: ['oncall'] })
    const { body } = await dana.call('GET', `/v1/approvals/${grant}`)
    await dana.call('POST', `/v1/grants/${grant}/approve`, { hash: body.hash })
    const granted = await line.next('granted')
    line.send({ type: 'received', grant })
    return { line, granted }
  }

  test('count while they are recent, and then no more', async () => {
    await using broker = await start({ limits: 'approval: { renewable_for: 15m }' })
    const { harness, pass } = broker
    const held = await approved(harness)
    pass(600)
    const { expires_at } = await renew(held)
    pass(600)
    await expect(renew(held)).rejects.toThrow(
      /denied.*policy wants a new approval \(production-needs-oncall\)/,
    )
    // Refused again at once: recorded once.
    await expect(renew(held)).rejects.toThrow(/a new approval/)
    const denied = named(await eventsOf(harness, held.granted.grant), 'renewal_denied')
    expect(denied).toMatchObject([
      { expires_at, decisions: [{ target: 'vault', decision: { effect: 'deny' } }] },
    ])
    pass(310)
    expect((await held.line.next('revoked')).ended_by).toBe('ttl')
  })
})
