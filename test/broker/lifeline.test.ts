import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LIFELINE_CLOSE, MAX_MESSAGE_BYTES } from '../../src/protocol/lifeline.ts'
import { Harness, request, type TestClient } from './harness.ts'

let harness: Harness
let client: TestClient

beforeEach(async () => {
  harness = await Harness.start()
  client = await harness.client()
})

afterEach(() => harness[Symbol.asyncDispose]())

const OUTCOME = { code: 0, signal: null }
const gone = () => expect.poll(() => harness.shop.handles.size)

describe('a lifeline', () => {
  test('a release revokes and answers with the receipt', async () => {
    const { line, granted } = await client.grant()
    expect(harness.shop.handles.size).toBe(1)
    line.send({ type: 'release', grant: granted.grant, outcome: OUTCOME })
    const { receipt } = await line.next('released')
    expect(receipt).toMatchObject({ state: 'revoked', ended_by: 'exit' })
    expect(receipt.leases).toMatchObject([{ target: 'shop', outcome: 'revoked' }])
    expect(harness.shop.handles.size).toBe(0)
    expect(await line.closed).toBe(LIFELINE_CLOSE.done)
  })

  test('one that is cut off keeps its credential for the grace, and no longer', async () => {
    const { line } = await client.grant()
    line.cut()
    expect(harness.shop.handles.size).toBe(1)
    await gone().toBe(0)
  })

  test('a resume within the grace goes on with the same credential; its secret works once', async () => {
    const { line, granted } = await client.grant()
    const resume = {
      type: 'resume',
      grant: granted.grant,
      secret: granted.resume_secret,
      received: true,
    }
    line.cut()
    const second = await client.connect()
    second.send(resume)
    const resumed = await second.next('resumed')
    expect(resumed.credentials).toEqual([])
    expect(resumed.resume_secret).not.toBe(granted.resume_secret)
    await new Promise((resolve) => second.socket.once('ping', () => setTimeout(resolve, 100)))
    const third = await client.connect()
    third.send(resume)
    await expect(third.next('resumed')).rejects.toThrow('grant_ended')
    expect(harness.shop.handles.size).toBe(1)
  })

  test('a resume whose answer was lost may be asked again with the same secret', async () => {
    const { line, granted } = await client.grant()
    const resume = {
      type: 'resume',
      grant: granted.grant,
      secret: granted.resume_secret,
      received: true,
    }
    line.cut()
    const second = await client.connect()
    second.socket.pong = () => {}
    second.send(resume)
    await second.next('resumed')
    second.cut()
    const third = await client.connect()
    third.send(resume)
    const { resume_secret: secret } = await third.next('resumed')
    third.cut()
    const fourth = await client.connect()
    fourth.send({ ...resume, secret })
    await fourth.next('resumed')
    expect(harness.shop.handles.size).toBe(1)
  })

  test('a newer connection cuts off the older', async () => {
    const { line, granted } = await client.grant()
    const second = await client.connect()
    second.send({
      type: 'resume',
      grant: granted.grant,
      secret: granted.resume_secret,
      received: true,
    })
    await second.next('resumed')
    expect(await line.closed).toBe(LIFELINE_CLOSE.replaced)
    expect(harness.shop.handles.size).toBe(1)
  })

  test('a resume of what its client gave back gets the receipt that was lost on the way', async () => {
    const { line, granted } = await client.grant()
    const { grant, resume_secret: secret } = granted
    line.send({ type: 'release', grant, outcome: { code: 3, signal: null } })
    // As if nothing of the answer had arrived.
    await line.closed
    const second = await client.connect()
    second.send({ type: 'resume', grant, secret, received: true })
    const { receipt } = await second.next('released')
    expect(receipt).toMatchObject({ grant, ended_by: 'exit', leases: [{ outcome: 'revoked' }] })
    expect(await second.closed).toBe(LIFELINE_CLOSE.done)
  })

  test('a resume of what ended meanwhile is told why, and gets the receipt; another secret gets neither', async () => {
    const { line, granted } = await client.grant()
    const { grant, resume_secret: secret } = granted
    line.cut()
    await client.call('POST', `/v1/grants/${grant}/revoke`)
    const guess = await client.connect()
    guess.send({ type: 'resume', grant, secret: `${secret}x`, received: true })
    await expect(guess.next('released')).rejects.toThrow('grant_ended')
    const second = await client.connect()
    second.send({ type: 'resume', grant, secret, received: true })
    expect(await second.next('revoked')).toMatchObject({ grant, ended_by: 'revoked' })
    expect((await second.next('released')).receipt).toMatchObject({ ended_by: 'revoked' })
  })

  test("another session can't resume it, even with the secret", async () => {
    const { granted } = await client.grant()
    const thief = await (await harness.client({ sub: 'thief' })).connect()
    thief.send({
      type: 'resume',
      grant: granted.grant,
      secret: granted.resume_secret,
      received: true,
    })
    await expect(thief.next('resumed')).rejects.toThrow('grant_ended')
  })

  test('credentials that did not arrive are replaced by new ones, and revoked', async () => {
    const line = await client.connect()
    const key = 'the-same-key'
    line.send({ type: 'request', key, details: request() })
    const first = await line.next('granted')
    line.cut()
    const second = await client.connect()
    second.send({ type: 'request', key, details: request() })
    const again = await second.next('granted')
    expect(again.grant).toBe(first.grant)
    expect(again.credentials[0]?.handle).not.toBe(first.credentials[0]?.handle)
    await expect.poll(() => [...harness.shop.handles]).toEqual([again.credentials[0]?.handle])
  })

  test('a resume that says they did not arrive gets new ones as well', async () => {
    const line = await client.connect()
    line.send({ type: 'request', key: 'k', details: request() })
    const first = await line.next('granted')
    line.cut()
    const second = await client.connect()
    second.send({
      type: 'resume',
      grant: first.grant,
      secret: first.resume_secret,
      received: false,
    })
    const resumed = await second.next('resumed')
    expect(resumed.credentials[0]?.handle).not.toBe(first.credentials[0]?.handle)
    await expect.poll(() => [...harness.shop.handles]).toEqual([resumed.credentials[0]?.handle])
  })

  test('a key stands for one request: with other details it is refused', async () => {
    const { line, granted } = await client.grant()
    const other = await client.connect()
    other.send({ type: 'request', key: 'k', details: request() })
    await other.next('granted')
    const third = await client.connect()
    third.send({ type: 'request', key: 'k', details: request({ reason: 'another' }) })
    await expect(third.next('granted')).rejects.toThrow('idempotency_conflict')
    expect(line.socket.readyState).toBe(line.socket.OPEN)
    expect(granted.grant).toBeTruthy()
  })

  test('the same request from two connections at once makes one grant', async () => {
    const lines = await Promise.all([client.connect(), client.connect()])
    for (const line of lines) line.send({ type: 'request', key: 'twice', details: request() })
    const [a, b] = await Promise.all(lines.map((line) => line.next('granted')))
    expect(a?.grant).toBe(b?.grant)
    await expect.poll(() => harness.shop.handles.size).toBe(1)
    const { body } = await client.call('GET', '/v1/grants')
    expect(body.grants).toHaveLength(1)
  })

  test('a client that stopped answering pings is lost; one that said it is suspended is not', async () => {
    const { line: silent } = await client.grant()
    const { line: suspended, granted } = await client.grant()
    suspended.send({ type: 'suspend', grant: granted.grant })
    for (const { socket } of [silent, suspended]) socket.pong = () => {}
    await silent.closed
    await expect.poll(() => harness.shop.handles.size).toBe(1)
    expect(suspended.socket.readyState).toBe(suspended.socket.OPEN)
    expect([...harness.shop.handles]).toEqual([granted.credentials[0]?.handle])
  }, 30_000)

  test('a lost client during the mint leaves nothing behind', async () => {
    const { promise: minting, resolve: started } = Promise.withResolvers<void>()
    const { promise: hold, resolve: release } = Promise.withResolvers<void>()
    harness.shop.beforeMint = async () => {
      started()
      await hold
    }
    const line = await client.connect()
    line.send({ type: 'request', key: 'k', details: request() })
    await minting
    line.cut()
    release()
    await expect.poll(() => harness.shop.revoked.length).toBe(1)
    expect(harness.shop.handles.size).toBe(0)
  })
})

describe('nonsense on a lifeline', () => {
  test.each([
    ['not JSON', 'hello'],
    ['no type', '{}'],
    ['an unknown type', '{"type":"sudo"}'],
    ['an unknown field', '{"type":"received","grant":"g_1","extra":true}'],
    ['a truncated message', '{"type":"request","key":"k","details":{'],
    ['a request without a command', { type: 'request', key: 'k', details: { environment: 'dev' } }],
  ])('%s: one clear problem, and the connection is closed', async (_, message) => {
    const line = await client.connect()
    line.send(message)
    await expect(line.next('granted')).rejects.toThrow('request_invalid')
    expect(await line.closed).toBe(LIFELINE_CLOSE.badMessage)
    expect((await client.call('GET', '/v1/grants')).body).toEqual({ grants: [] })
  })

  test('an oversized message closes the connection (RFC 6455, 1009); the broker lives on', async () => {
    const line = await client.connect()
    line.send('x'.repeat(MAX_MESSAGE_BYTES + 1))
    expect(await line.closed).toBe(1009)
    const { line: next } = await client.grant()
    expect(next.socket.readyState).toBe(next.socket.OPEN)
  })

  test('binary, a second request, and a grant that is not its own are refused', async () => {
    const line = await client.connect()
    line.socket.send(Buffer.from([1, 2, 3]))
    await expect(line.next('granted')).rejects.toThrow('expected text')

    const { line: busy } = await client.grant()
    busy.send({ type: 'request', key: 'second', details: request() })
    await expect(busy.next('granted')).rejects.toThrow('one grant')
    busy.send({ type: 'release', grant: 'g_other', outcome: OUTCOME })
    await expect(busy.next('released')).rejects.toThrow('not on this lifeline')
    expect(harness.shop.handles.size).toBe(1)
  })

  test('nonsense on a live grant: it may be resumed, nothing is lost', async () => {
    const { line, granted } = await client.grant()
    line.send('nonsense')
    await line.closed
    const again = await client.connect()
    again.send({
      type: 'resume',
      grant: granted.grant,
      secret: granted.resume_secret,
      received: true,
    })
    await again.next('resumed')
    expect(harness.shop.handles.size).toBe(1)
  })
})

describe('what is asked for', () => {
  test.each([
    ['an unknown environment', { environment: 'devv' }, "did you mean 'dev'?"],
    ['an unknown task', { task: 'deplo' }, "did you mean 'deploy'?"],
    ['an unknown target', { targets: ['shopp'] }, "did you mean 'shop'?"],
    ['a target without the task', { targets: ['api'] }, "target 'api' has no task 'deploy'"],
    ['too long', { ttl: 3 * 3600 }, 'ask for at most 2h'],
    ['an unknown label', { labels: { modell: 'x' } }, "did you mean 'model'?"],
    ['a label of another type', { labels: { model: 7 } }, 'expected a string'],
    ['two that set one variable', { targets: ['shop', 'shop2'] }, 'there is no target'],
  ])('%s is refused in words one can act on', async (_, details, words) => {
    const line = await client.connect()
    line.send({ type: 'request', key: 'k', details: request(details) })
    await expect(line.next('granted')).rejects.toThrow(words)
  })

  test('a denial names the policy', async () => {
    const line = await client.connect()
    line.send({
      type: 'request',
      key: 'k',
      details: request({ environment: 'prod', targets: ['vault'] }),
    })
    await expect(line.next('granted')).rejects.toThrow(/denied.*no-production/)
  })
})
