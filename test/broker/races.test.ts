import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LIFELINE_CLOSE } from '../../src/protocol/lifeline.ts'
import { FakeTarget, Harness, request, type TestClient } from './harness.ts'

const OUTCOME = { code: 0, signal: null }

/** Holds a target's mints until it is let go. */
function holdMint(target: FakeTarget) {
  const started = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  target.beforeMint = async () => {
    started.resolve()
    await gate.promise
  }
  return { started: started.promise, letGo: gate.resolve }
}

async function ask(client: TestClient, key = 'k') {
  const line = await client.connect()
  line.send({ type: 'request', key, details: request() })
  return line
}

const nothingLeft = (harness: Harness) => expect.poll(() => harness.shop.handles.size).toBe(0)

describe('while a credential is being made', () => {
  test('a revoke of everything misses nothing', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { started, letGo } = holdMint(harness.shop)
    const line = await ask(client)
    await started
    expect((await client.call('POST', '/v1/revoke', { scope: 'mine' })).status).toBe(200)
    letGo()
    await expect(line.next('granted')).rejects.toThrow('grant_ended')
    await nothingLeft(harness)
  })

  test('a revoke by id ends it, and claims no receipt', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { started, letGo } = holdMint(harness.shop)
    const line = await ask(client)
    const { grant } = await line.next('requested')
    await started
    const answer = await client.call('POST', `/v1/grants/${grant}/revoke`)
    expect(answer).toMatchObject({ status: 409, body: { code: 'grant_ended' } })
    letGo()
    await nothingLeft(harness)
  })

  test('a logout leaves nothing behind', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { started, letGo } = holdMint(harness.shop)
    const line = await ask(client)
    await started
    await client.logout()
    letGo()
    await expect(line.next('granted')).rejects.toThrow('grant_ended')
    await nothingLeft(harness)
  })

  test('policies that change are applied to it', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { started, letGo } = holdMint(harness.shop)
    const line = await ask(client)
    await started
    forbidDeploys(harness.directory)
    await harness.broker.reload()
    letGo()
    expect((await line.next('revoked')).ended_by).toBe('policy')
    await nothingLeft(harness)
  })

  test('a failure that nobody foresaw leaves nothing behind', async () => {
    let armed = true
    await using harness = await Harness.start({
      failpoint: (point) => {
        if (armed && point === 'mint:created') throw new Error('the disk is full')
      },
    })
    const client = await harness.client()
    const line = await ask(client)
    await expect(line.next('granted')).rejects.toThrow('internal')
    armed = false
    await nothingLeft(harness)
    const { body } = await client.call('GET', '/v1/grants')
    expect(body).toEqual({ grants: [] })
  })

  test('a client that was lost before anything was recorded leaves nothing behind', async () => {
    const shop = new FakeTarget('shop')
    // Longer than the grace of one second.
    shop.beforeIdentity = () => new Promise((resolve) => setTimeout(resolve, 2500))
    await using harness = await Harness.start({ targets: { shop } })
    const client = await harness.client()
    const line = await ask(client)
    await line.next('requested')
    line.cut()
    await expect.poll(() => shop.revoked.length).toBe(1)
    expect(shop.handles.size).toBe(0)
  })

  test('a resume is not overtaken by the grace', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const first = await ask(client)
    const { grant, resume_secret: secret } = await first.next('granted')
    const { started, letGo } = holdMint(harness.shop)
    first.cut()
    const second = await client.connect()
    second.send({ type: 'resume', grant, secret, received: false })
    await started
    // Longer than the grace of one second.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    letGo()
    await second.next('resumed')
    expect(harness.shop.handles.size).toBe(1)
  })
})

describe('a session', () => {
  test('that ended gets nothing more on a lifeline that it opened before', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const line = await client.connect()
    await client.logout()
    line.send({ type: 'request', key: 'k', details: request() })
    await expect(line.next('granted')).rejects.toThrow('session_ended')
    expect(harness.shop.handles.size).toBe(0)
  })

  test('renewed without the group that a grant was permitted for: the grant ends', async () => {
    await using harness = await Harness.start()
    writeFileSync(
      join(harness.directory, 'tasks.cedar'),
      '@id("admins-deploy") permit (principal in Group::"admins", action, resource);',
    )
    await harness.broker.reload()
    const client = await harness.client({ groups: ['admins'] })
    const { line } = await client.grant()
    await client.exchange(await harness.idToken({ groups: [] }))
    expect((await line.next('revoked')).ended_by).toBe('policy')
    await nothingLeft(harness)
  })
})

function forbidDeploys(directory: string): void {
  writeFileSync(
    join(directory, 'tasks.cedar'),
    '@id("nobody") forbid (principal, action == Action::"deploy", resource);',
  )
}

describe('a restart', () => {
  test('under stricter policies ends what they forbid', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'jit-races-'))
    const targets = { shop: new FakeTarget('shop') }
    const first = await Harness.start({ directory, targets })
    await (await first.client()).grant()
    await first.broker.stop()
    const policies = '@id("nobody") forbid (principal, action == Action::"deploy", resource);'
    const second = await Harness.start({ directory, targets, policies, lifeline: 'grace: 1h' })
    await nothingLeft(second)
    await second.broker.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  test('takes two seconds at most, though a client does not answer', async () => {
    const harness = await Harness.start()
    const { line } = await (await harness.client()).grant()
    const { socket } = line
    socket.pause()
    const started = performance.now()
    await harness[Symbol.asyncDispose]()
    expect(performance.now() - started).toBeLessThan(20_000)
    socket.terminate()
  })

  test('that is for good leaves no credential, and grants nothing more', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    let failures = 1
    harness.shop.beforeRevoke = async () => {
      if (failures-- > 0) throw new Error('not now')
    }
    await client.grant()
    const waiting = await client.connect()
    const { started, letGo } = holdMint(harness.shop)
    await ask(client, 'in-flight')
    await started
    const drained = harness.broker.drain(10_000)
    letGo()
    expect(await drained).toEqual([])
    expect(harness.shop.handles.size).toBe(0)
    waiting.send({ type: 'request', key: 'late', details: request() })
    await expect(waiting.next('granted')).rejects.toThrow('stopping')
  })
})

describe('a connection', () => {
  test('that was replaced can not act for the grant any more', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { line, granted } = await client.grant()
    const { grant, resume_secret: secret } = granted
    line.socket.pause()
    const second = await client.connect()
    second.send({ type: 'resume', grant, secret, received: true })
    await second.next('resumed')
    line.send({ type: 'release', grant, outcome: OUTCOME })
    line.socket.resume()
    expect(await line.closed).toBe(LIFELINE_CLOSE.replaced)
    expect((await client.call('GET', `/v1/grants/${grant}`)).body.grants[0].state).toBe('active')
    expect(harness.shop.handles.size).toBe(1)
  })

  test('that repeats the key of a grant in use gets nothing, and takes nothing away', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const line = await ask(client, 'in-use')
    const { grant } = await line.next('granted')
    line.send({ type: 'received', grant })
    const state = async () => (await client.call('GET', `/v1/grants/${grant}`)).body.grants[0].state
    // Once its own answer is there, what was sent before it on the same line was taken.
    line.send({ type: 'suspend', grant: 'another' })
    await expect(line.next('released')).rejects.toThrow('not on this lifeline')
    const again = await ask(client, 'in-use')
    await expect(again.next('granted')).rejects.toThrow('grant_ended')
    expect(line.socket.readyState).toBe(line.socket.OPEN)
    expect(await state()).toBe('active')
  })

  test('that was refused and keeps its half open does not hold up the end', async () => {
    const harness = await Harness.start()
    const { hostname, port } = new URL(harness.url)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    socket.write(
      'GET /v1/lifeline HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    )
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toContain('401')
    const started = performance.now()
    await harness[Symbol.asyncDispose]()
    expect(performance.now() - started).toBeLessThan(20_000)
    socket.destroy()
  })

  test('that says more than anybody has to say is cut off; others go on', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const { line: other } = await client.grant()
    const { started, letGo } = holdMint(harness.shop)
    const line = await ask(client)
    await started
    for (let count = 0; count < 100; count++) line.send({ type: 'received', grant: 'g_1' })
    expect(await line.closed).toBe(LIFELINE_CLOSE.overrun)
    letGo()
    expect(other.socket.readyState).toBe(other.socket.OPEN)
  })

  test('what came behind a bad message takes no effect', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    const line = await client.connect()
    line.send('nonsense')
    line.send({ type: 'request', key: 'k', details: request() })
    expect(await line.closed).toBe(LIFELINE_CLOSE.badMessage)
    expect((await client.call('GET', '/v1/grants')).body).toEqual({ grants: [] })
    expect(harness.shop.handles.size).toBe(0)
  })
})

describe('denials', () => {
  const production = request({ environment: 'prod', targets: ['vault'] })

  test('the same request once more gets the same answer', async () => {
    await using harness = await Harness.start()
    const client = await harness.client()
    for (let count = 0; count < 2; count++) {
      const line = await client.connect()
      line.send({ type: 'request', key: 'same', details: production })
      await expect(line.next('granted')).rejects.toThrow('no-production')
    }
  })

  test('nobody can fill the log with them, nor make it unreadable', async () => {
    await using harness = await Harness.start()
    const client = await harness.client({ groups: ['admins'] })
    const command = { argv: ['x'.repeat(32_000)], directory: '/', executable: '/bin/x' }
    const details = { ...production, command }
    let last = ''
    for (let count = 0; count <= 60; count++) {
      const line = await client.connect()
      line.send({ type: 'request', key: `k${count}`, details })
      last = await line.next('granted').then(String, String)
    }
    expect(last).toContain('limit_reached')
    let seen = 0
    for (let after: number | undefined = 0; after !== undefined; ) {
      const { body } = await client.call('GET', `/v1/audit?after=${after}`)
      expect(JSON.stringify(body).length).toBeLessThan(1_200_000)
      seen += body.entries.length
      after = body.next
    }
    expect(seen).toBeGreaterThan(60)
  })

  test('a command line longer than what is recorded is refused', async () => {
    await using harness = await Harness.start()
    const line = await (await harness.client()).connect()
    const command = { argv: ['x', 'y'.repeat(32_768)], directory: '/', executable: '/bin/x' }
    line.send({ type: 'request', key: 'k', details: request({ command }) })
    await expect(line.next('granted')).rejects.toThrow('32,768 characters')
  })
})
