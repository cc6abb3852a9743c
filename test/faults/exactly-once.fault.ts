import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { ClientMessage, ServerMessage } from '../../src/protocol/lifeline.ts'
import type { BrokerProcess } from './broker-process.ts'
import { Client, detailsOf } from './client.ts'
import { LATE, secondsUntil } from './seconds.ts'
import { Stage } from './stage.ts'
import { counted, runs } from './tally.ts'

const NODES = 3

/** A lifeline straight to one node, spoken by hand. */
class Wired implements Disposable {
  readonly #socket: WebSocket
  readonly heard: ServerMessage[] = []

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('message', (data) => this.heard.push(JSON.parse(String(data))))
  }

  static async to(node: BrokerProcess, client: Client): Promise<Wired> {
    const url = new URL(`${client.url}/v1/lifeline`)
    const headers = await client.authorizer.headers({ method: 'GET', url })
    const wired = new Wired(new WebSocket(`ws://127.0.0.1:${node.port}/v1/lifeline`, { headers }))
    await secondsUntil(async () => wired.open, { within: LATE, what: 'connected' })
    return wired
  }

  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  say(message: ClientMessage): void {
    this.#socket.send(JSON.stringify(message))
  }

  granted(): Extract<ServerMessage, { type: 'granted' }> | undefined {
    return this.heard.find((message) => message.type === 'granted')
  }

  [Symbol.dispose](): void {
    this.#socket.terminate()
  }
}

/** Somebody signed in at three nodes over one PostgreSQL. */
async function cluster() {
  const stage = await Stage.set({ store: 'postgres' })
  await Promise.all(Array.from({ length: NODES }, () => stage.start()))
  return stage
}

async function countOf({ books }: Stage, from: string): Promise<number> {
  const [row] = await books.query<{ count: string }>(`SELECT count(*) AS count FROM ${from}`)
  return Number(row?.count)
}

test('one request on three nodes at once is one grant with one role, and one secret resumes it at most once', async () => {
  await using stage = await cluster()
  const client = new Client(await stage.person('dev'))
  const times = runs(2)
  const seen = {
    requests: 0,
    grants: 0,
    granted: 0,
    'roles, at most': 0,
    resumes: 0,
    'lifelines left': 0,
  }
  for (let run = 0; run < times; run += 1) {
    const key = randomUUID()
    await using open = new AsyncDisposableStack()
    const connect = async () =>
      Promise.all(stage.nodes.map(async (node) => open.use(await Wired.to(node, client))))
    const asking = await connect()
    for (const wired of asking) wired.say({ type: 'request', key, details: detailsOf({}) })
    const isAnswered = async () =>
      asking.every((wired) => !wired.open || wired.granted() !== undefined)
    await secondsUntil(isAnswered, { within: LATE, what: 'answered' })
    seen.requests += NODES
    seen.grants += await countOf(stage, `grants WHERE request_key = '${key}'`)
    const alive = () => stage.database.leases()
    const isOne = async () => (await alive()).length === 1
    await secondsUntil(isOne, { within: LATE, what: 'one role' })
    seen['roles, at most'] = Math.max(seen['roles, at most'], (await alive()).length)
    const [role] = await alive()
    const granted = asking
      .map((wired) => wired.granted())
      .find((one) => one?.credentials[0]?.handle === role)
    seen.granted += granted ? 1 : 0
    for (const wired of asking) wired[Symbol.dispose]()
    // Each node's line may have been cut off by another's: then nobody has it, and its grace ends it.
    if (granted) {
      const { grant, resume_secret: secret } = granted
      const resuming = await connect()
      for (const wired of resuming) wired.say({ type: 'resume', grant, secret, received: true })
      seen.resumes += NODES
      await wait(1500)
      seen['lifelines left'] += resuming.filter((wired) => wired.open).length
      seen['roles, at most'] = Math.max(seen['roles, at most'], (await alive()).length)
      for (const wired of resuming) wired[Symbol.dispose]()
    }
    await stage.swept({ within: 60 })
  }
  counted({ fault: 'one request on three nodes at once', store: 'postgres', figures: seen })
  expect(seen).toMatchObject({ grants: times, 'roles, at most': 1 })
  expect(seen['lifelines left']).toBeLessThanOrEqual(times)
})

test('one proof on three nodes is taken once, and one approval on three nodes approves once', async () => {
  await using stage = await cluster()
  const requester = new Client(await stage.person('dev'))
  const approver = new Client(await stage.person('lead'))
  const times = runs(2)
  const seen = { proofs: 0, taken: 0, approvals: 0, approved: 0, granted: 0 }
  const everywhere = (path: string, init: RequestInit) =>
    Promise.all(
      stage.nodes.flatMap(({ port }) =>
        [1, 2].map(async () => (await fetch(`http://127.0.0.1:${port}${path}`, init)).status),
      ),
    )
  for (let run = 0; run < times; run += 1) {
    const url = new URL(`${requester.url}/v1/whoami`)
    const headers = await requester.authorizer.headers({ method: 'GET', url })
    const answers = await everywhere('/v1/whoami', { headers })
    seen.proofs += answers.length
    seen.taken += answers.filter((status) => status === 200).length
    const waits = Promise.withResolvers<string>()
    const asked = requester.ask({ environment: 'prod', pending: waits.resolve })
    asked.catch(waits.reject)
    const grant = await waits.promise
    const { hash } = await approver.broker.approval(grant)
    const approve = new URL(`${approver.url}/v1/grants/${grant}/approve`)
    const approvals = await Promise.all(
      stage.nodes.flatMap(({ port }) =>
        [1, 2].map(async () => {
          const proof = await approver.authorizer.headers({ method: 'POST', url: approve })
          const { status } = await fetch(`http://127.0.0.1:${port}${approve.pathname}`, {
            method: 'POST',
            headers: { ...proof, 'content-type': 'application/json' },
            body: JSON.stringify({ hash }),
          })
          return status
        }),
      ),
    )
    seen.approvals += approvals.length
    const holding = await asked
    await holding.release()
    const of = (event: string) => `audit WHERE grant_id = '${grant}' AND event = '${event}'`
    seen.approved += await countOf(stage, of('grant.approved'))
    seen.granted += await countOf(stage, of('grant.granted'))
  }
  counted({ fault: 'one proof, one approval on three nodes', store: 'postgres', figures: seen })
  expect(seen).toMatchObject({ taken: times, approved: times, granted: times })
  await stage.swept({ within: LATE })
})
