import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ApprovalRequest } from '../../src/protocol/approval.ts'
import type { Grant } from '../../src/protocol/grant.ts'
import { FakeBroker, problem, type Reply } from './fake-broker.ts'
import { ended, Home, JIT } from './home.ts'
import { approvalBy, approvalRequest, HASH, pendingGrant } from './requests.ts'
import { Screen } from './screen.ts'

let broker: FakeBroker
let home: Home
/** What waits at the broker, and what its answer to a yes is. */
let waiting: ApprovalRequest[]
let unacknowledged: Grant[]
let verdict: (body: unknown) => Reply

const refusal = (code: string, status: number, detail: string, more = {}): Reply => ({
  status,
  body: { ...problem(code, status, detail), ...more },
})

beforeEach(async () => {
  broker = await FakeBroker.start()
  home = new Home()
  await home.signIn(broker.url)
  waiting = [approvalRequest('g_1')]
  unacknowledged = []
  verdict = () => ({ body: { ...waiting[0], state: 'approved', approvals: [approvalBy('dana')] } })
  broker.behaviour.http = ({ route, body }) => {
    const [, id, verb] = /\/(g_\w+)(?:\/(\w+))?$/.exec(route) ?? []
    const found = waiting.find(({ subject }) => subject.grant === id)
    if (route === 'GET /v1/approvals') return { body: { requests: waiting, unacknowledged } }
    if (verb === 'acknowledge') return { body: unacknowledged[0] }
    if (!found) return undefined
    if (route.startsWith('GET /v1/approvals/')) return { body: found }
    if (verb === 'approve') return verdict(body)
    if (verb === 'deny') return { body: { ...found, state: 'refused' } }
    return undefined
  }
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

const calls = (verb: string) => broker.calls.filter(({ route }) => route.endsWith(verb))
const terminal = (...args: string[]) => new Screen(home, [process.execPath, JIT, ...args])

describe('jit approve on a terminal', () => {
  test('shows the request, asks, and approves exactly what was shown', async () => {
    const screen = terminal('approve', 'g_1')
    await screen.shows('Approve this?')
    expect(screen.text).toContain('terraform apply')
    expect(calls('/approve')).toEqual([])
    screen.type('y\r')
    expect((await screen.ended).exitCode).toBe(0)
    expect(screen.text).toContain('approved g_1')
    expect(calls('/approve').map(({ body }) => body)).toEqual([{ hash: HASH }])
  })

  test('the answer is no unless somebody says yes', async () => {
    const screen = terminal('approve', 'g_1')
    await screen.shows('Approve this?')
    screen.type('\r')
    expect((await screen.ended).exitCode).toBe(1)
    expect(screen.text).toContain('not approved')
    expect(calls('/approve')).toEqual([])
  })

  test('--json asks about nothing that was not shown', async () => {
    const screen = terminal('approve', 'g_1', '--json')
    await screen.shows('Approve this?')
    expect(screen.text).toContain('terraform apply')
    screen.type('n\r')
    await screen.ended
  })

  test('what was typed before the question is no answer to it', async () => {
    const { http } = broker.behaviour
    const asked = Promise.withResolvers<void>()
    const typed = Promise.withResolvers<void>()
    broker.behaviour.http = async (call) => {
      asked.resolve()
      await typed.promise
      return http?.(call) ?? { status: 404, body: {} }
    }
    const screen = terminal('approve', 'g_1')
    await asked.promise
    screen.type('y\r')
    // The terminal echoes it.
    await screen.shows('y')
    typed.resolve()
    await screen.shows('Approve this?')
    screen.type('\r')
    expect((await screen.ended).exitCode).toBe(1)
    expect(calls('/approve')).toEqual([])
  })

  test('without an id, one is chosen from those that wait', async () => {
    const other = approvalRequest('g_2', { context: { reason: 'the other one' } })
    waiting = [...waiting, other]
    const screen = terminal('approve')
    await screen.shows('Which one do you want to approve?')
    screen.type('\u001b[B\r')
    await screen.shows('Approve this?')
    expect(screen.text).toContain('the other one')
    screen.type('n\r')
    await screen.ended
  })

  test('a request that changed meanwhile is shown again before anything is approved', async () => {
    verdict = () => {
      const changed = approvalRequest('g_1', { context: { reason: 'changed' } })
      waiting = [{ ...changed, hash: 'cd'.repeat(32) }]
      verdict = () => ({ body: { ...waiting[0], state: 'approved' } })
      return refusal('request_changed', 409, 'it is another request now')
    }
    const screen = terminal('approve', 'g_1')
    await screen.shows('Approve this?')
    screen.type('y\r')
    await screen.shows(/has changed since it was shown[\s\S]*reason +changed[\s\S]*Approve this\?/)
    screen.type('y\r')
    expect((await screen.ended).exitCode).toBe(0)
    expect(calls('/approve').map(({ body }) => body)).toEqual([
      { hash: HASH },
      { hash: 'cd'.repeat(32) },
    ])
  })
})

describe('jit approve in a script', () => {
  test('--yes with an id approves; --json prints the request as it is then', async () => {
    const { code, stdout, stderr } = await home.run(['approve', 'g_1', '--yes', '--json'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ state: 'approved', subject: { grant: 'g_1' } })
  })

  test('one that another approver has yet to agree to says so', async () => {
    verdict = () => ({
      body: { ...waiting[0], obligation: { approvals: [{ group: 'data-owners', people: 1 }] } },
    })
    const { stderr } = await home.run(['approve', 'g_1', '--yes'])
    expect(stderr).toContain('approved g_1: it still waits for data-owners')
  })

  test.each([
    ['no terminal and no --yes', ['approve', 'g_1'], 'give --yes'],
    ['no id', ['approve'], 'jit approve g_…'],
    ['--yes and no id', ['approve', '--yes'], '--yes needs the id'],
    ['--watch with an id', ['approve', 'g_1', '--watch'], '--watch takes neither'],
    ['deny --yes and no id', ['deny', '--yes'], '--yes needs the id'],
    ['acknowledge without an id', ['acknowledge'], 'give the id'],
  ])('%s is wrong usage', async (_, args, message) => {
    const { code, stderr } = await home.run(args)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
    expect(calls('/approve')).toEqual([])
  })

  test('a request that changed meanwhile is not approved unseen', async () => {
    verdict = () => refusal('request_changed', 409, 'it is another request now')
    const { code, stderr } = await home.run(['approve', 'g_1', '--yes'])
    expect(code).toBe(1)
    expect(stderr).toContain('it is another request now')
    expect(calls('/approve')).toHaveLength(1)
  })

  test('a sign-in that policy wants is 4 where nobody signed in', async () => {
    const wants = { max_age: 60, acr_values: [] }
    verdict = () => refusal('insufficient_user_authentication', 401, 'sign in for this', wants)
    const { code, stderr } = await home.run(['approve', 'g_1', '--yes', '--json'])
    expect(code).toBe(4)
    expect(JSON.parse(stderr).error).toMatchObject({ code: 'insufficient_user_authentication' })
    expect(calls('/approve')).toHaveLength(1)
  })

  test('what I asked for myself is not mine to approve: said before I am asked', async () => {
    const { http } = broker.behaviour
    const { principal } = approvalRequest('g_1').subject
    broker.behaviour.http = (call) => {
      const session_expires_at = new Date(Date.now() + 3_600_000).toISOString()
      const who = {
        principal: { ...principal, groups: [] },
        broker: broker.url,
        session_expires_at,
      }
      return call.route === 'GET /v1/whoami' ? { body: who } : http?.(call)
    }
    const { code, stderr } = await home.run(['approve', 'g_1', '--yes'])
    expect(code).toBe(3)
    expect(stderr).toContain('error: you asked for it: somebody else has to decide on it')
    expect(stderr).toContain('hint: jit revoke g_1 takes it back; it waits for platform-oncall')
    expect(calls('/approve')).toEqual([])
  })

  test('who may not approve is told so with 3', async () => {
    verdict = () => refusal('denied', 403, 'you may not approve your own request')
    expect(await home.run(['approve', 'g_1', '--yes'])).toMatchObject({ code: 3 })
  })
})

test('jit deny shows the request, asks, and passes the reason on', async () => {
  const screen = terminal('deny', '--reason', 'not today')
  await screen.shows('Deny this?')
  expect(screen.text).toContain('terraform apply')
  screen.type('y\r')
  expect((await screen.ended).exitCode).toBe(0)
  expect(calls('/deny').map(({ body }) => body)).toEqual([{ reason: 'not today' }])
})

test('jit acknowledge takes note of a broken glass', async () => {
  unacknowledged = [pendingGrant('g_9', { state: 'revoked' })]
  const { code, stdout } = await home.run(['acknowledge', 'g_9', '--json'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ grant: { id: 'g_9' } })
  expect(calls('/acknowledge')).toHaveLength(1)
  const screen = terminal('acknowledge')
  await screen.shows('Which one do you acknowledge?')
  screen.type('\r')
  expect((await screen.ended).exitCode).toBe(0)
})

describe('jit approve --watch', () => {
  test('prints each new request once as a line of JSON, over a restart, until Ctrl-C', async () => {
    const child = home.start(['approve', '--watch', '--json'])
    const end = ended(child)
    if (!child.stdout) throw new Error('expected a pipe')
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const next = async () => JSON.parse(String((await lines.next()).value)).subject.grant
    expect(await next()).toBe('g_1')
    const { port, behaviour } = broker
    await broker.stop()
    waiting = [...waiting, approvalRequest('g_2')]
    broker = await FakeBroker.start(port)
    Object.assign(broker.behaviour, behaviour)
    expect(await next()).toBe('g_2')
    child.kill('SIGINT')
    const { code, stdout } = await end
    expect(code).toBe(130)
    expect(stdout.trim().split('\n')).toHaveLength(2)
  })

  test('on a terminal asks about each, and takes the question back when somebody else decided', async () => {
    const screen = terminal('approve', '--watch')
    await screen.shows('Approve this?')
    expect(screen.text).toContain('\u0007')
    waiting = []
    await screen.shows('it waits no longer')
    waiting = [approvalRequest('g_2', { context: { reason: 'the next' } })]
    await screen.shows(/the next[\s\S]*Approve this\?/)
    screen.type('y')
    screen.type('\r')
    await screen.shows('approved g_2')
    screen.type('\x03')
    expect((await screen.ended).exitCode).toBe(130)
  })

  test('whoever is not signed in is told so', async () => {
    broker.behaviour.http = () => refusal('session_ended', 401, 'the session has ended')
    expect(await home.run(['approve', '--watch'])).toMatchObject({ code: 4 })
  })
})

describe('jit request', () => {
  const ASK = ['request', '--env', 'prod', '--task', 'deploy', '--reason', 'r']
  const answer = (grant: Grant) => {
    broker.behaviour.http = ({ route }) => {
      if (route === 'POST /v1/grants') return { status: 201, body: grant }
      return route === `GET /v1/grants/${grant.id}` ? { body: { grants: [grant] } } : undefined
    }
  }

  test('prints the id alone on stdout, and on stderr what it waits for and how to use it', async () => {
    answer(pendingGrant('g_5'))
    const { code, stdout, stderr } = await home.run([...ASK, '--', 'echo', 'a b'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'g_5\n' })
    expect(stderr).toMatch(
      /g_5 waits for platform-oncall, until \d\d:\d\d\n {2}use it: jit exec --grant g_5 -- /,
    )
    expect(broker.calls[0]?.body).toMatchObject({
      details: {
        environment: 'prod',
        task: 'deploy',
        reason: 'r',
        command: { argv: ['echo', 'a b'] },
      },
    })
  })

  test('--json prints one object', async () => {
    answer(pendingGrant('g_5'))
    const { stdout, stderr } = await home.run([...ASK, '--json', '--', 'true'])
    expect(JSON.parse(stdout)).toMatchObject({ grant: { id: 'g_5', state: 'pending' } })
    expect(stderr).toBe('')
  })

  test('--wait ends when it is approved', async () => {
    answer(pendingGrant('g_5'))
    const child = home.start([...ASK, '--wait', '--', 'true'])
    const end = ended(child)
    await broker.waitForCall('GET /v1/grants/g_5')
    answer(pendingGrant('g_5', { state: 'approved' }))
    const { code, stderr } = await end
    expect(code).toBe(0)
    expect(stderr).toContain('✓ g_5 is approved')
  })

  test('--wait fails with 3 when an approver says no', async () => {
    answer(pendingGrant('g_5'))
    const child = home.start([...ASK, '--wait', '--', 'true'])
    const end = ended(child)
    await broker.waitForCall('GET /v1/grants/g_5')
    answer(pendingGrant('g_5', { state: 'refused' }))
    expect(await end).toMatchObject({ code: 3 })
  })

  test('wrong usage is 2, as of a command that wraps nothing', async () => {
    expect(await home.run(['request', '--env', 'prod', '--', 'true'])).toMatchObject({ code: 2 })
    expect(await home.run(ASK)).toMatchObject({ code: 2 })
  })
})

describe('jit status, grants, revoke', () => {
  beforeEach(() => {
    const { http } = broker.behaviour
    broker.behaviour.http = (call) => {
      if (call.route === 'GET /v1/whoami') {
        const principal = { kind: 'human', id: 'idp/1', name: 'dev', groups: [] }
        const session_expires_at = new Date(Date.now() + 3_600_000).toISOString()
        return { body: { principal, broker: broker.url, session_expires_at } }
      }
      if (call.route.startsWith('GET /v1/grants?')) {
        const later = new Date(Date.now() + 1000).toISOString()
        const grants = [pendingGrant('g_7', { requested_at: later }), pendingGrant('g_6')]
        return { body: { grants } }
      }
      if (call.route.endsWith('/revoke')) return { body: { grant: 'g_6', state: 'refused' } }
      return http?.(call)
    }
  })

  test('status has what I asked for, what waits for me and the next commands', async () => {
    unacknowledged = [pendingGrant('g_9', { state: 'revoked' })]
    const { stdout } = await home.run(['status'])
    expect(stdout).toMatch(
      /2 requests of mine; once approved: jit exec --grant ID -- …\n.*\ng_6 .*\ng_7 /,
    )
    expect(stdout).toMatch(
      /1 request waits for me: jit approve\n.*\ng_1 +dev +prod +deploy +shop-db +platform-oncall/,
    )
    expect(stdout).toContain('1 broken glass to look into: jit acknowledge')
  })

  test('status --json has them as lists, oldest first', async () => {
    const { stdout } = await home.run(['status', '--json'])
    const { pending, approvals, unacknowledged: broken } = JSON.parse(stdout)
    expect(pending.map(({ id }: Grant) => id)).toEqual(['g_6', 'g_7'])
    expect(approvals).toMatchObject([{ subject: { grant: 'g_1' } }])
    expect(broken).toEqual([])
  })

  test('grants shows what waits, with its targets and when it lapses', async () => {
    const { stdout } = await home.run(['grants'])
    expect(stdout).toMatch(/g_6 +pending +dev +prod +deploy +shop-db +(30m|29m \d+s)/)
  })

  test('revoke takes a request back that waits', async () => {
    expect(await home.run(['revoke', 'g_6'])).toMatchObject({ code: 0, stdout: 'g_6: withdrawn\n' })
    const { stdout } = await home.run(['revoke', 'g_6', '--json'])
    expect(JSON.parse(stdout)).toEqual({ grant: 'g_6', state: 'refused' })
  })
})
