import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { request as details, type TestLifeline } from '../broker/harness.ts'
import { Bystander, type Seen } from './bystander.ts'
import { FLOODER, Gate } from './gate.ts'
import { secondsUntil } from './seconds.ts'
import { counted } from './tally.ts'

const LINES = 500

vi.setConfig({ testTimeout: 120_000 })

const times = <T>(count: number, make: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make(at))

/** What others saw, for the table; they must not have seen anything. */
function unaffected(fault: string, figures: Record<string, number | string>, seen: Seen): void {
  const { asked, grants, failed, before, meanwhile } = seen
  const others = { 'others asked': asked, 'others granted': grants, 'others failed': failed.length }
  counted({ fault, figures: { ...figures, ...others, 'ms before': before, 'ms then': meanwhile } })
  expect(failed).toEqual([])
  expect(asked).toBeGreaterThan(0)
  expect(grants).toBeGreaterThan(0)
}

/** By what it was answered with. */
function tally(outcomes: readonly (string | number)[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const outcome of outcomes) sums[outcome] = (sums[outcome] ?? 0) + 1
  return sums
}

test('500 lifelines at once from one machine: a session has 200, all else is told when to come again', async () => {
  await using gate = await Gate.open()
  const client = await gate.client('flooder')
  const bystander = await Bystander.at(gate)
  let outcomes: string[] = []
  const lines: TestLifeline[] = []
  const seen = await bystander.during(async () => {
    const opened = times(LINES, () =>
      gate.line(client).then(
        (line) => String(lines.push(line) && 'open'),
        (thrown: Error) => thrown.message.replace('Unexpected server response: ', ''),
      ),
    )
    outcomes = await Promise.all(opened)
    // Those that are open stay so: two rounds of pings.
    await wait(7000)
  })
  const lost = lines.filter(({ socket }) => socket.readyState !== WebSocket.OPEN).length
  const sums = tally(outcomes)
  const figures = { open: sums.open ?? 0, refused: sums['429'] ?? 0, lost }
  unaffected('500 lifelines of one session', figures, seen)
  expect(figures).toEqual({ open: 200, refused: LINES - 200, lost: 0 })
})

test('500 grants at once from one machine, of five people: all are granted, and end when it is gone', async () => {
  await using gate = await Gate.open()
  const clients = await Promise.all(times(5, (at) => gate.client(`worker-${at}`)))
  const admin = await gate.client('admin')
  const bystander = await Bystander.at(gate)
  const lines: TestLifeline[] = []
  const seen = await bystander.during(async () => {
    const work = times(LINES, async (at) => {
      const line = await gate.line(clients[at % 5] ?? admin)
      lines.push(line)
      const asked = details({ targets: ['shop'] })
      line.send({ type: 'request', key: crypto.randomUUID(), details: asked })
      const { grant } = await line.next('granted')
      line.send({ type: 'received', grant })
    })
    await Promise.all(work)
  })
  const live = async () => {
    const { body } = await admin.call('GET', '/v1/grants?scope=all')
    return body.grants.filter(({ state }: { state: string }) => state === 'active').length
  }
  const granted = await live()
  for (const line of lines) line.cut()
  const gone = await secondsUntil(async () => (await live()) === 0, {
    within: 60,
    what: 'all gone',
  })
  unaffected('500 grants of one machine', { granted, 'gone s': gone, grace: 2 }, seen)
  expect(granted).toBe(LINES)
})

test('requests of nobody, by the thousands from one address: told when to come again', async () => {
  await using gate = await Gate.open({ limits: { requests_per_address: 300 } })
  const bystander = await Bystander.at(gate)
  const outcomes: number[] = []
  const started = performance.now()
  const paths = ['/.well-known/oauth-protected-resource', '/jwks', '/v1/grants', '/readyz', '/x']
  const seen = await bystander.during(async () => {
    const workers = times(20, async () => {
      for (let count = 0; count < 100; count += 1) {
        outcomes.push(await status(gate, paths[count % paths.length] ?? '/'))
      }
    })
    await Promise.all(workers)
  })
  const seconds = (performance.now() - started) / 1000
  const refused = outcomes.filter((code) => code === 429).length
  const answered = outcomes.length - refused
  unaffected('requests of nobody', { asked: outcomes.length, answered, refused, seconds }, seen)
  // A minute's worth at once, then 5 a second.
  expect(answered).toBeLessThanOrEqual(300 + 5 * (seconds + 1))
  expect(refused).toBeGreaterThan(0)
})

function status(gate: Gate, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { localAddress: FLOODER, agent: false } as const
    request(new URL(path, gate.url), options, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0))
    })
      .once('error', reject)
      .end()
  })
}

test('connections by the thousands from one address that say nothing, or a byte now and then: they are few, and soon none', async () => {
  await using gate = await Gate.open()
  const bystander = await Bystander.at(gate)
  const sockets: Socket[] = []
  const open = () => sockets.filter((socket) => !socket.closed).length
  // What is one too many is cut off; what was kept is told at last that it took too long.
  const told = new Set<Socket>()
  let gone = 0
  const seen = await bystander.during(async () => {
    for (let round = 0; round < 20; round += 1) {
      sockets.push(...(await Promise.all(times(100, () => gate.connect()))))
    }
    for (const socket of sockets) socket.on('data', () => told.add(socket))
    const drip = setInterval(() => {
      for (const socket of sockets.slice(0, 500)) if (!socket.closed) socket.write('G')
    }, 500)
    gone = await secondsUntil(async () => open() === 0, { within: 60, what: 'all closed' })
    clearInterval(drip)
  })
  unaffected(
    'silent connections',
    { opened: sockets.length, kept: told.size, 'gone s': gone },
    seen,
  )
  expect(told.size).toBeGreaterThan(0)
  expect(told.size).toBeLessThanOrEqual(1016)
})

test('clients that ask and never read are cut off, and the broker keeps little for them', async () => {
  await using gate = await Gate.open({ limits: { requests_per_principal: 1_000_000 } })
  const client = await gate.client('flooder')
  const bystander = await Bystander.at(gate)
  const lines = await Promise.all(times(10, () => gate.line(client)))
  const before = memoryOf(gate)
  let most = before
  let cut = 0
  const seen = await bystander.during(async () => {
    const watch = setInterval(() => {
      most = Math.max(most, memoryOf(gate))
    }, 50)
    cut = (await Promise.all(lines.map((line) => pingsUnread(line)))).filter(Boolean).length
    clearInterval(watch)
  })
  const figures = { lines: lines.length, cut, 'MB more': most - before }
  unaffected('clients that never read', figures, seen)
  expect(cut).toBe(lines.length)
})

/** The process's memory in MB. */
function memoryOf({ node }: Gate): number {
  const [, kilobytes] =
    /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${node.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) / 1024
}

/** @returns whether the broker ended it */
async function pingsUnread({ socket, closed }: TestLifeline): Promise<boolean> {
  socket.on('error', () => {})
  socket.pause()
  for (let round = 0; round < 1000 && socket.readyState === WebSocket.OPEN; round += 1) {
    for (let count = 0; count < 200; count += 1) socket.ping('x'.repeat(125), true, () => {})
    await wait(5)
  }
  socket.resume()
  const code = await Promise.race([closed, wait(5000).then(() => 0)])
  return code === LIFELINE_CLOSE.overrun || code === 1006
}

test('frames, bodies and heads that are too large end what they came on, and nothing else', async () => {
  await using gate = await Gate.open()
  const client = await gate.client('flooder')
  const bystander = await Bystander.at(gate)
  const kept = await gate.line(client)
  const outcomes: (string | number)[] = []
  const seen = await bystander.during(async () => {
    for (let count = 0; count < 20; count += 1) {
      const line = await gate.line(client)
      line.socket.on('error', () => {})
      line.send('x'.repeat(300 * 1024))
      outcomes.push(`frame ${await line.closed}`)
      const body = { details: 'x'.repeat(70 * 1024) }
      outcomes.push(`body ${(await client.call('POST', '/v1/grants', body)).body.code}`)
      const headers = { ...client.headers('GET', '/v1/whoami'), 'X-Large': 'x'.repeat(20 * 1024) }
      outcomes.push(`head ${(await fetch(`${gate.url}/v1/whoami`, { headers })).status}`)
    }
  })
  const sums = tally(outcomes)
  unaffected('oversized frames, bodies, heads', sums, seen)
  expect(sums).toEqual({ 'frame 1009': 20, 'body request_invalid': 20, 'head 431': 20 })
  expect(kept.socket.readyState).toBe(WebSocket.OPEN)
})
