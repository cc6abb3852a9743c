import { expect, test, vi } from 'vitest'
import type { GrantRequest } from '../../src/protocol/request.ts'
import { request as details, TestClient, type TestLifeline } from '../broker/harness.ts'
import { Gate } from './gate.ts'
import type { StoreKind } from './stores.ts'
import { counted } from './tally.ts'

const TIMES = 50
const BOTH: readonly StoreKind[] = ['sqlite', 'postgres']

vi.setConfig({ testTimeout: 60_000 })

const fifty = <T>(make: (at: number) => Promise<T>) =>
  Promise.all(Array.from({ length: TIMES }, (_, at) => make(at)))

/** How often each came. */
function sums(outcomes: readonly (string | number)[]): Record<string, number> {
  const found: Record<string, number> = {}
  for (const outcome of outcomes) found[outcome] = (found[outcome] ?? 0) + 1
  return found
}

async function grantsOf(client: TestClient): Promise<{ state: string }[]> {
  return (await client.call('GET', '/v1/grants')).body.grants
}

/** `granted`, the code of a problem, or that it was closed. */
async function answerOn(line: TestLifeline): Promise<string> {
  try {
    return (await line.next('granted')).type
  } catch (thrown) {
    const { message } = thrown as Error
    return message.startsWith('{') ? JSON.parse(message).code : message
  }
}

test.each(BOTH)(
  'one proof, 50 times at once: it works for one request, and for one lifeline (%s)',
  async (store) => {
    await using gate = await Gate.open({ store })
    const client = await gate.client('one')
    const headers = client.headers('GET', '/v1/whoami')
    const requests = await fifty(async () => {
      const answer = await fetch(`${gate.url}/v1/whoami`, { headers })
      return answer.ok ? 'ok' : ((await answer.json()) as { code: string }).code
    })
    const upgrade = client.headers('GET', '/v1/lifeline')
    const lines = await fifty(() =>
      gate.line(client, upgrade).then(
        () => 'ok',
        () => 'refused',
      ),
    )
    const replayed = (sums(requests).proof_replayed ?? 0) + (sums(lines).refused ?? 0)
    const figures = { requests: sums(requests).ok ?? 0, lifelines: sums(lines).ok ?? 0, replayed }
    counted({ fault: 'one proof 50 times at once', store, figures })
    expect(sums(requests)).toEqual({ ok: 1, proof_replayed: TIMES - 1 })
    expect(sums(lines)).toEqual({ ok: 1, refused: TIMES - 1 })
  },
)

test.each(BOTH)(
  'one identity token, 50 times at once under keys of their own: it opens one session (%s)',
  async (store) => {
    await using gate = await Gate.open({ store })
    const token = await gate.idToken('one')
    const answers = await fifty(() => new TestClient(gate.url, Date.now).exchange(token))
    const opened = answers.filter(({ ok }) => ok).length
    counted({ fault: 'one identity token 50 times at once', store, figures: { sessions: opened } })
    expect(opened).toBe(1)
  },
)

test.each(BOTH)(
  'one key, 50 times at once on lifelines of their own: one grant, and one credential lives (%s)',
  async (store) => {
    await using gate = await Gate.open({ store })
    const client = await gate.client('one')
    const asked = { type: 'request', key: 'one', details: details({ targets: ['shop'] }) }
    const lines = await fifty(() => gate.line(client))
    for (const line of lines) line.send(asked)
    const answers = await Promise.all(lines.map(answerOn))
    const grants = await grantsOf(client)
    const figures = { grants: grants.length, handed: sums(answers).granted ?? 0 }
    counted({ fault: 'one key 50 times at once', store, figures })
    expect(grants).toHaveLength(1)
    expect(grants[0]).toMatchObject({ state: 'active' })
    // The newest connection has it; each before was told so, or that it is too late.
    expect(lines.filter(({ socket }) => socket.readyState === socket.OPEN).length).toBe(1)
  },
)

test.each(BOTH)(
  'one key, 50 times at once with other bodies: one is taken, the others are told (%s)',
  async (store) => {
    await using gate = await Gate.open({ store })
    const client = await gate.client('one')
    const ask = (at: number) => {
      const request: GrantRequest = {
        key: 'one',
        details: details({ targets: ['shop'], reason: `reason ${at}` }),
      }
      return client.call('POST', '/v1/grants', request)
    }
    const answers = await fifty(ask)
    const codes = sums(answers.map(({ status, body }) => (status < 300 ? 'taken' : body.code)))
    counted({ fault: 'one key, 50 bodies', store, figures: codes })
    expect(codes).toEqual({ taken: 1, idempotency_conflict: TIMES - 1 })
    expect(await grantsOf(client)).toHaveLength(1)
  },
)

test.each(BOTH)(
  'messages before their time, and a release ten times: nothing comes of the former, one receipt of the latter (%s)',
  async (store) => {
    await using gate = await Gate.open({ store })
    const client = await gate.client('one')
    const outcome = { code: 0, signal: null }
    const grant = 'g_1'
    const early = [
      ...['received', 'renew', 'continue', 'detach', 'suspend'].map((type) => ({ type, grant })),
      { type: 'release', grant, outcome },
      { type: 'resume', grant, secret: 'x', received: true },
    ]
    const refused = await Promise.all(
      early.map(async (message) => {
        const line = await gate.line(client)
        line.send(message)
        return answerOn(line)
      }),
    )
    const held = await gate.line(client)
    held.send({ type: 'request', key: 'k', details: details({ targets: ['shop'] }) })
    const granted = await held.next('granted')
    for (let count = 0; count < 10; count += 1) {
      held.send({ type: 'release', grant: granted.grant, outcome })
    }
    const { receipt } = await held.next('released')
    const again = await held.next('released').then(
      () => 'again',
      () => 'closed',
    )
    counted({ fault: 'messages out of order', store, figures: sums(refused) })
    expect(new Set(refused)).toEqual(new Set(['request_invalid', 'not_found']))
    expect(receipt.ended_by).toBe('exit')
    expect(again).toBe('closed')
    expect(await grantsOf(client)).toHaveLength(1)
  },
)
