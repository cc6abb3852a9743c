import { once } from 'node:events'
import { existsSync, linkSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { systemClock } from '../../../src/lib/clock.ts'
import type { ClientMessage, ServerMessage } from '../../../src/protocol/lifeline.ts'
import { AUTHORIZATION_TYPE } from '../../../src/protocol/request.ts'
import type { WaitingAsk } from '../../../src/run/link/ask-observer.ts'
import { type Link, openLink } from '../../../src/run/link/link.ts'
import type { Ports } from '../../../src/run/ports/ports.ts'
import { temporaryFolder } from '../../folder.ts'
import { credential, FakeBroker, problem } from '../fake-broker.ts'

const UPSTREAM = {
  kind: 'postgres',
  host: 'db.example.com',
  port: 5432,
  database: 'shop',
  user: 'j12345',
  password: 'hunter2',
  sslmode: 'require',
} as const

/** Writes down what it is asked. */
class FakePorts implements Ports {
  readonly ended: string[] = []
  readonly packets: Buffer[] = []

  async deliver({ upstream, env, ...rest }: Parameters<Ports['deliver']>[0]) {
    return { ...rest, env: upstream ? { PGUSER: 'port-user' } : env }
  }

  async end(lease: string): Promise<void> {
    this.ended.push(lease)
  }

  acceptPostgres(socket: Duplex, head: Buffer): void {
    this.packets.push(head)
    socket.end('N')
  }

  async close(): Promise<void> {}
}

let broker: FakeBroker
let ports: FakePorts
let link: Link
let path: string
let inside: string
let waiting: WaitingAsk[]
/** Grants inside that the person's prompt shows. */
let shown: Set<string>
let proofs: number
/** What the link's clock says, where it doesn't go on. */
let stoodStill: number | undefined

beforeEach(async () => {
  broker = await FakeBroker.start()
  ports = new FakePorts()
  waiting = []
  shown = new Set()
  proofs = 0
  stoodStill = undefined
  path = join(temporaryFolder('link'), 'link.sock')
  inside = `${path}.inside`
  link = await openLink({
    socket: path,
    broker: broker.url,
    authorizer: {
      headers: async ({ method, url }) => {
        proofs += 1
        return { authorization: 'DPoP of-the-agent', dpop: `${method} ${url.pathname} ${proofs}` }
      },
    },
    clock: { now: systemClock.now, monotonic: () => stoodStill ?? systemClock.monotonic() },
    ports,
    waits: (ask) => waiting.push(ask),
    leave: ({ grant }) => {
      shown.add(grant)
      return { move: () => {}, [Symbol.dispose]: () => shown.delete(grant) }
    },
  })
  // As a sandbox has it: bound in before it is removed.
  linkSync(path, inside)
  return async () => {
    await link.close()
    await broker.stop()
  }
})

interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: whatever the link says
  readonly body: any
}

async function ask(
  method: string,
  target: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const request = httpRequest({ socketPath: inside, method, path: target, headers, agent: false })
  request.end(body === undefined ? undefined : text)
  const [response] = await once(request, 'response')
  let said = ''
  for await (const chunk of response) said += String(chunk)
  return { status: response.statusCode, body: JSON.parse(said) }
}

interface InsideLine {
  readonly socket: WebSocket
  readonly messages: ServerMessage[]
  say(message: ClientMessage | string): void
  next<T extends ServerMessage['type']>(type: T): Promise<Extract<ServerMessage, { type: T }>>
  readonly closed: Promise<number>
}

const lines: WebSocket[] = []
afterEach(() => {
  for (const line of lines.splice(0)) line.terminate()
})

async function lifeline(headers: Record<string, string> = {}): Promise<InsideLine> {
  const socket = new WebSocket(`ws+unix://${inside}:/v1/lifeline`, { headers })
  lines.push(socket)
  const messages: ServerMessage[] = []
  socket.on('message', (data) => messages.push(JSON.parse(String(data))))
  const closed = once(socket, 'close').then(([code]) => code as number)
  // Of one that was refused nobody waits for the end.
  closed.catch(() => {})
  await once(socket, 'open')
  return {
    socket,
    messages,
    closed,
    say: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    async next(type) {
      for (;;) {
        const found = messages.find((message) => message.type === type)
        if (found) return found as never
        await once(socket, 'message')
      }
    },
  }
}

const REQUEST: ClientMessage = {
  type: 'request',
  key: 'key-1',
  details: {
    type: AUTHORIZATION_TYPE,
    environment: 'dev',
    task: 'plan',
    targets: [],
    reason: '',
    break_glass: false,
    ticket: '',
    labels: {},
    claimed: { repository: '', branch: '', commit: '', dirty: false },
    command: { argv: ['terraform', 'plan'], directory: '/repo', executable: '/usr/bin/terraform' },
  },
}

const whoami = { principal: { kind: 'agent', id: 'idp/1#claude', name: 'claude', groups: [] } }

const grantOf = (id: string) => ({
  id,
  state: 'active',
  principal: whoami.principal,
  environment: 'dev',
  tier: 'test',
  task: 'plan',
  context: {
    repository: '',
    branch: '',
    commit: '',
    claimed: REQUEST.details.claimed,
    command: REQUEST.details.command,
    reason: '',
    break_glass: false,
    ticket: '',
    labels: {},
  },
  requested_at: '2026-11-22T12:00:00.000Z',
  targets: ['dev-db'],
  leases: [],
})

describe('the link of a sandbox', () => {
  it('is removed with its first connection: nobody else can find it', async () => {
    expect(existsSync(path)).toBe(true)
    const probe = connect(path)
    await once(probe, 'connect')
    probe.destroy()
    await expect.poll(() => existsSync(path)).toBe(false)
    broker.behaviour.http = () => ({ body: whoami })
    expect((await ask('GET', '/v1/whoami')).status).toBe(200)
  })

  it('signs each request for the session outside, whatever the headers from inside', async () => {
    let seen: unknown
    broker.behaviour.http = ({ route }) => {
      seen = route
      return { body: whoami }
    }
    const forged = { authorization: 'DPoP mine', dpop: 'mine', 'x-forwarded-for': '1.2.3.4' }
    const answer = await ask('GET', '/v1/whoami?as=root', { headers: forged })
    expect(answer).toEqual({ status: 200, body: whoami })
    expect(seen).toBe('GET /v1/whoami')
    await ask('GET', '/v1/whoami')
    expect(proofs).toBe(2)
  })

  it.each([
    ['POST', '/oauth/token'],
    ['POST', '/oauth/revoke'],
    ['GET', '/v1/approvals'],
    ['GET', '/v1/approvals/g_1'],
    ['POST', '/v1/grants/g_1/approve'],
    ['POST', '/v1/grants/g_1/deny'],
    ['POST', '/v1/grants/g_1/acknowledge'],
    ['GET', '/v1/grants?scope=all'],
    ['GET', '/v1/audit'],
    ['GET', '/v1/events'],
    ['GET', '/v1/sandboxes'],
    ['GET', '/v1/policy/explain?principal=x'],
    ['GET', '/v1/whoami/../audit'],
    ['GET', '//v1/audit'],
    ['GET', 'http://127.0.0.1/v1/audit'],
    ['DELETE', '/v1/grants/g_1'],
  ])('refuses %s %s without asking the broker', async (method, target) => {
    const { status, body } = await ask(method, target)
    expect({ status, code: body.code }).toEqual({ status: 403, code: 'not_in_sandbox' })
    expect(broker.calls).toEqual([])
    expect(proofs).toBe(0)
  })

  it('asks what may be asked for, and what would come of a request, in the agent’s name', async () => {
    broker.behaviour.http = ({ route, body }) => ({ body: { route, body: body ?? null } })
    const askable = await ask('GET', '/v1/askable?environment=dev&branch=a%26all%3Dtrue')
    expect(askable.body.route).toBe('GET /v1/askable?environment=dev&branch=a%26all%3Dtrue')
    const details = { environment: 'dev' }
    const foretold = await ask('POST', '/v1/policy/explain', { body: { details } })
    expect(foretold.body).toEqual({ route: 'POST /v1/policy/explain', body: { details } })
    expect(proofs).toBe(2)
  })

  it('ends nobody else’s access: the kill switches of people are refused', async () => {
    for (const body of [{ scope: 'all' }, { user: 'dana' }, 'nonsense']) {
      expect((await ask('POST', '/v1/revoke', { body })).body.code).toBe('not_in_sandbox')
    }
    expect(broker.calls).toEqual([])
  })

  it('shows and ends only grants that were asked for in this sandbox', async () => {
    broker.behaviour.http = ({ route }) => {
      if (route === 'POST /v1/grants') return { body: grantOf('g_mine') }
      if (route === 'GET /v1/grants?scope=mine') {
        return { body: { grants: [grantOf('g_mine'), grantOf('g_of_another')] } }
      }
      if (route === 'POST /v1/grants/g_mine/revoke') {
        return { body: { grant: 'g_mine', state: 'refused' } }
      }
      return { body: { grants: [grantOf('g_mine')] } }
    }
    expect((await ask('GET', '/v1/grants/g_of_another')).status).toBe(404)
    expect((await ask('POST', '/v1/grants/g_of_another/revoke')).status).toBe(404)
    expect((await ask('GET', '/v1/policy/explain?grant=g_of_another')).status).toBe(404)
    expect(broker.calls).toEqual([])
    await ask('POST', '/v1/grants', { body: {} })
    const listed = await ask('GET', '/v1/grants?scope=mine')
    expect(listed.body.grants.map(({ id }: { id: string }) => id)).toEqual(['g_mine'])
    expect((await ask('GET', '/v1/grants/g_mine')).status).toBe(200)
    const all = await ask('POST', '/v1/revoke', { body: { scope: 'mine' } })
    expect(all.body).toEqual({
      receipts: [],
      withdrawn: [{ grant: 'g_mine', state: 'refused' }],
      sessions: 0,
      cut_off: [],
    })
    expect(broker.calls.map(({ route }) => route)).not.toContain('POST /v1/revoke')
  })

  it('takes no page of a browser for a program that asks', async () => {
    const origin = { origin: 'https://evil.example' }
    expect((await ask('GET', '/v1/whoami', { headers: origin })).body.code).toBe('not_in_sandbox')
    await expect(lifeline(origin)).rejects.toThrow(/403/)
    expect(broker.upgrades).toEqual([])
  })

  it('takes no body over 64 KiB', async () => {
    const answer = await ask('POST', '/v1/grants', { body: 'x'.repeat(65 * 1024) })
    expect(answer).toMatchObject({ status: 400, body: { code: 'request_invalid' } })
    expect(broker.calls).toEqual([])
  })

  it('refuses a flood of requests, and goes on with the next', async () => {
    broker.behaviour.http = () => ({ body: whoami })
    // However long a busy machine takes, none is given back meanwhile.
    stoodStill = systemClock.monotonic()
    const answers: Answer[] = []
    for (let round = 0; round < 5; round++) {
      const some = Array.from({ length: 20 }, () => ask('GET', '/v1/whoami'))
      answers.push(...(await Promise.all(some)))
    }
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(64)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(36)
    stoodStill = undefined
    await expect.poll(async () => (await ask('GET', '/v1/whoami')).status).toBe(200)
  })

  it('drops what is no request, and serves the next', async () => {
    const raw = connect(inside)
    raw.on('error', () => {})
    raw.end('\x16\x03\x01 no http\r\n\r\n')
    await once(raw, 'close')
    broker.behaviour.http = () => ({ body: whoami })
    expect((await ask('GET', '/v1/whoami')).status).toBe(200)
  })

  it('says what the broker says when it refuses', async () => {
    broker.behaviour.http = () => ({ status: 403, body: problem('denied', 403, 'policy says no') })
    expect(await ask('POST', '/v1/grants', { body: {} })).toMatchObject({
      status: 403,
      body: { code: 'denied', detail: 'policy says no' },
    })
  })

  it('says that the broker is out of reach', async () => {
    await broker.stop()
    const { status, body } = await ask('GET', '/v1/whoami')
    expect({ status, code: body.code }).toEqual({ status: 503, code: 'broker_unreachable' })
  })

  it('hands a PostgreSQL connection to the port', async () => {
    const startup = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
    const client: Socket = connect(inside)
    client.write(startup)
    const [answer] = await once(client, 'data')
    expect(String(answer)).toBe('N')
    expect(ports.packets).toEqual([startup])
  })
})

describe('a lifeline from inside', () => {
  it('carries a grant whose credential is used through a port: nothing secret comes in', async () => {
    broker.behaviour.credentials = [
      { ...credential({ PGUSER: '{{user}}' }), upstream: UPSTREAM, lease: 'l1' },
    ]
    const line = await lifeline()
    line.say(REQUEST)
    const granted = await line.next('granted')
    expect(granted.credentials).toMatchObject([{ env: { PGUSER: 'port-user' } }])
    expect(granted.credentials[0]).not.toHaveProperty('upstream')
    expect(JSON.stringify(line.messages)).not.toContain('hunter2')
    expect(broker.upgrades[0]?.headers).toMatchObject({ authorization: 'DPoP of-the-agent' })
    line.say({ type: 'received', grant: granted.grant })
    line.say({ type: 'release', grant: granted.grant, outcome: { code: 0, signal: null } })
    await line.next('released')
    await expect.poll(() => ports.ended).toEqual(['l1'])
    expect(await line.closed).toBe(4000)
  })

  it("is in the person's prompt as long as it lives", async () => {
    const line = await lifeline()
    line.say(REQUEST)
    const { grant, resume_secret: secret } = await line.next('granted')
    expect([...shown]).toEqual([grant])
    broker.cut()
    await line.closed
    await expect.poll(() => [...shown]).toEqual([])
    const again = await lifeline()
    again.say({ type: 'resume', grant, secret, received: true })
    await again.next('resumed')
    expect([...shown]).toEqual([grant])
    broker.revoke('revoked', 'because')
    await again.next('revoked')
    await expect.poll(() => [...shown]).toEqual([])
  })

  it('ends the port when the broker revokes', async () => {
    broker.behaviour.credentials = [{ ...credential({}), upstream: UPSTREAM, lease: 'l2' }]
    const line = await lifeline()
    line.say(REQUEST)
    await line.next('granted')
    broker.revoke('revoked', 'because')
    expect(await line.next('revoked')).toMatchObject({ reason: 'because' })
    await expect.poll(() => ports.ended).toEqual(['l2'])
  })

  it('keeps the port open for the grace when it is lost, and goes on when it is resumed', async () => {
    broker.behaviour.credentials = [{ ...credential({}), upstream: UPSTREAM, lease: 'l3' }]
    broker.behaviour.grace = 1
    const line = await lifeline()
    line.say(REQUEST)
    const { grant, resume_secret: secret } = await line.next('granted')
    broker.cut()
    expect(await line.closed).toBe(1012)
    const again = await lifeline()
    again.say({ type: 'resume', grant, secret, received: true })
    await again.next('resumed')
    expect(ports.ended).toEqual([])
    again.socket.terminate()
    await expect.poll(() => ports.ended).toEqual(['l3'])
  })

  it('keeps the port open while a command finds the broker out of reach, and for the grace after', async () => {
    broker.behaviour.credentials = [{ ...credential({}), upstream: UPSTREAM, lease: 'l5' }]
    broker.behaviour.grace = 0.3
    const line = await lifeline()
    line.say(REQUEST)
    await line.next('granted')
    broker.behaviour.refuse = problem('broker_unreachable', 503, 'down')
    broker.cut()
    for (const until = Date.now() + 900; Date.now() < until; await delay(50)) {
      await expect(lifeline()).rejects.toThrow(/503/)
    }
    expect(ports.ended).toEqual([])
    await expect.poll(() => ports.ended).toEqual(['l5'])
  })

  it('ends the port at the deadline, whoever holds on to the line', async () => {
    broker.behaviour.credentials = [{ ...credential({}), upstream: UPSTREAM, lease: 'l4' }]
    broker.behaviour.ttl = 0.3
    const line = await lifeline()
    line.say(REQUEST)
    await line.next('granted')
    await expect.poll(() => ports.ended).toEqual(['l4'])
  })

  it('is closed by what is no message; another goes on', async () => {
    const good = await lifeline()
    for (const bad of ['{"type":"approve"}', 'nonsense', '[]']) {
      const line = await lifeline()
      line.say(bad)
      expect(await line.closed).toBe(4001)
    }
    const large = await lifeline()
    large.say('x'.repeat(300 * 1024))
    expect(await large.closed).toBe(1009)
    good.say(REQUEST)
    await good.next('granted')
    expect(broker.received.map(({ type }) => type)).toEqual(['request'])
  })

  it('is cut off when it floods', async () => {
    const line = await lifeline()
    for (let count = 0; count < 200; count++) line.say({ type: 'renew', grant: 'g_1' })
    expect(await line.closed).toBe(1006)
    expect(broker.received.length).toBeLessThan(100)
  })

  it('is one of 16 at most', async () => {
    const first = await lifeline()
    for (let count = 1; count < 16; count++) await lifeline()
    await expect(lifeline()).rejects.toThrow(/429/)
    first.socket.terminate()
    await expect.poll(() => lifeline().then(Boolean, () => false)).toBe(true)
  })

  it('leaves nothing at the broker where it is no WebSocket’s', async () => {
    const raw = connect(inside)
    raw.write(
      'GET /v1/lifeline HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n',
    )
    const [answer] = await once(raw, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1\.1 4/)
    await expect.poll(() => broker.lines).toBe(0)
  })

  it('is answered with the broker’s refusal where it takes no lifeline', async () => {
    broker.behaviour.refuse = problem('session_ended', 401, 'the session has ended')
    await expect(lifeline()).rejects.toThrow(/401/)
  })

  it('lets the broker see whether somebody is there: its pings are answered inside', async () => {
    const line = await lifeline()
    await once(line.socket, 'ping')
  })

  it('tells the person once of a request that waits', async () => {
    broker.behaviour.obligation = { approvals: [{ group: 'platform-oncall', people: 1 }] }
    const line = await lifeline()
    line.say(REQUEST)
    await line.next('pending')
    expect(waiting).toEqual([
      {
        grant: broker.grant,
        environment: 'dev',
        task: 'plan',
        argv: ['terraform', 'plan'],
        obligation: broker.behaviour.obligation,
      },
    ])
    broker.approve()
    await line.next('granted')
    expect(waiting).toHaveLength(1)
  })
})
