import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Harness, type HarnessOptions, request, type TestClient } from './harness.ts'

const KEY = Buffer.alloc(32, 7)
const POLICIES = `
@id("everyone") permit (principal, action, resource in Environment::"dev");
@id("oncall") forbid (principal, action == Action::"deploy", resource)
unless { context.approvals.contains(Group::"oncall") || context.breakGlass };
@id("two-dba") forbid (principal, action == Action::"plan", resource)
unless { context.approvalsByTwo.contains(Group::"dba") };
`

interface Message {
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly text: string
}

/** A webhook: what it was sent, and what it answers. */
class Receiver {
  readonly messages: Message[] = []
  answer: { status: number; headers?: Record<string, string> } = { status: 200 }
  #arrived: () => void = () => {}
  readonly #server: Server = createServer((incoming, response) => {
    let body = ''
    incoming.on('data', (chunk) => {
      body += String(chunk)
    })
    incoming.on('end', () => {
      const { text } = JSON.parse(body) as { text: string }
      this.messages.push({ headers: incoming.headers, body, text })
      response.writeHead(this.answer.status, this.answer.headers ?? {}).end()
      this.#arrived()
    })
  })

  async listen(): Promise<string> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/T0/secret-path`
  }

  /** The `count`th message, once it is there. */
  async message(count = 1): Promise<Message> {
    while (this.messages.length < count) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    }
    return this.messages[count - 1] as Message
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

let harness: Harness
let receiver: Receiver
let url: string
let directory: string

beforeEach(async () => {
  receiver = new Receiver()
  url = await receiver.listen()
  directory = mkdtempSync(join(tmpdir(), 'jit-notify-'))
  writeFileSync(join(directory, 'url'), `${url}\n`, { mode: 0o600 })
  writeFileSync(join(directory, 'key'), `whsec_${KEY.toString('base64')}\n`, { mode: 0o600 })
})

afterEach(async () => {
  receiver.close()
  await harness[Symbol.asyncDispose]()
})

async function start(hook = '', options: HarnessOptions = {}) {
  const limits = `notify: { chat: { url: file:url, secret: file:key${hook} } }`
  harness = await Harness.start({ directory, limits, policies: POLICIES, ...options })
  return harness.client({ sub: 'dana', preferred_username: 'dana' })
}

async function ask(client: TestClient, details: Parameters<typeof request>[0] = {}) {
  const { status, body } = await client.call('POST', '/v1/grants', {
    key: crypto.randomUUID(),
    details: request(details),
  })
  expect(status).toBe(201)
  return body.id as string
}

async function audited(event: string): Promise<Record<string, unknown>[]> {
  const boss = await harness.client({ sub: 'boss', groups: ['admins'] })
  const { body } = await boss.call('GET', '/v1/audit')
  return body.entries.filter((entry: { event: string }) => entry.event === event)
}

/** Until the audit log has it. */
async function recorded(event: string): Promise<Record<string, unknown>> {
  for (;;) {
    const [entry] = await audited(event)
    if (entry) return entry
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('a request that waits', () => {
  it('is told to the webhook: who, what, where, why and how to approve', async () => {
    const id = await ask(await start(), {
      reason: 'roll out 1.2',
      command: { argv: ['terraform', 'apply'], directory: '/', executable: '/bin/true' },
    })
    const { text, body } = await receiver.message()
    expect(Object.keys(JSON.parse(body))).toEqual(['text'])
    for (const part of [
      '`oncall`',
      '`dana` (`idp.test/dana`)',
      '`deploy` in `dev` (`development`) for 15m',
      'Targets: `shop`',
      'From, as they say: `github.com/acme/shop` `main`',
      'Reason: `roll out 1.2`',
      'Command: `terraform apply`',
      `\`jit approve ${id}\``,
    ]) {
      expect(text).toContain(part)
    }
    expect(await recorded('grant.notified')).toMatchObject({ grant: id, hook: 'chat' })
  })

  it('is signed as Standard Webhooks says, over id, time and body', async () => {
    await ask(await start())
    const { headers, body } = await receiver.message()
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = headers
    const mac = createHmac('sha256', KEY).update(`${id}.${at}.${body}`).digest('base64')
    expect(signature).toBe(`v1,${mac}`)
    expect(Math.abs(Number(at) - Date.now() / 1000)).toBeLessThan(10)
  })

  it('can’t put markup, a mention or a line of its own into the message', async () => {
    await ask(await start(), {
      reason: '`*bold*` <!channel> & <https://evil.test|jit approve>\nReason: fine\u202e',
    })
    const { text } = await receiver.message()
    const [line] = text.split('\n').filter((one) => one.startsWith('Reason:'))
    expect(line).toBe(
      "Reason: `'*bold*' &lt;!channel&gt; &amp; &lt;https://evil.test|jit approve&gt;\\u{a}Reason: fine\\u{202e}`",
    )
    expect(text).not.toContain('\u202e')
  })

  it('of a copilot says whose it is, and that it is one', async () => {
    const dana = await start()
    await ask(await harness.delegated(dana))
    const { text } = await receiver.message()
    expect(text).toContain('Who: the copilot `claude, for dana`, of `idp.test/dana`')
  })

  it('is told again until it is taken, under one id', async () => {
    receiver.answer = { status: 500 }
    await ask(await start())
    const first = await receiver.message()
    receiver.answer = { status: 200 }
    const second = await receiver.message(2)
    expect(second.body).toBe(first.body)
    expect(second.headers['webhook-id']).toBe(first.headers['webhook-id'])
    await recorded('grant.notified')
    expect(receiver.messages).toHaveLength(2)
  })

  it('is told by the next broker where this one died before it could', async () => {
    receiver.answer = { status: 503 }
    await ask(await start())
    const first = await receiver.message()
    await harness.broker.stop()
    receiver.answer = { status: 200 }
    await start()
    const second = await receiver.message(receiver.messages.length + 1)
    expect(second.headers['webhook-id']).toBe(first.headers['webhook-id'])
  })

  it('is told no more once it is over', async () => {
    let ahead = 0
    receiver.answer = { status: 500 }
    const dana = await start('', { now: () => Date.now() + ahead })
    const id = await ask(dana)
    await receiver.message()
    await dana.call('POST', `/v1/grants/${id}/revoke`)
    const before = receiver.messages.length
    // Whatever is to be tried again is due now, and before what comes next.
    ahead = 120_000
    receiver.answer = { status: 200 }
    const next = await ask(dana)
    expect(await recorded('grant.notified')).toMatchObject({ grant: next })
    expect(receiver.messages.slice(before).map(({ text }) => text.includes(id))).toEqual([false])
  })

  it('follows no redirect, and keeps the address out of the log', async () => {
    const elsewhere = new Receiver()
    receiver.answer = { status: 307, headers: { location: await elsewhere.listen() } }
    await ask(await start())
    await receiver.message(2)
    expect(elsewhere.messages).toEqual([])
    expect(harness.log.join('\n')).toContain('it answered 307')
    expect(harness.log.join('\n')).not.toContain('secret-path')
    elsewhere.close()
  })

  it('for other groups than a webhook’s is not told there', async () => {
    const dana = await start(', groups: [oncall]')
    await ask(dana, { task: 'plan' })
    const id = await ask(dana)
    expect((await receiver.message()).text).toContain(id)
    await recorded('grant.notified')
    expect(receiver.messages).toHaveLength(1)
  })

  it('for two people says so', async () => {
    await ask(await start(), { task: 'plan' })
    expect((await receiver.message()).text).toContain('two of `dba`')
  })
})

describe('an emergency', () => {
  it('is told to all, whatever their groups, with how to acknowledge it', async () => {
    const dana = await start(', groups: [dba]')
    const { granted } = await dana.grant({ break_glass: true, reason: 'prod is down' })
    const { text } = await receiver.message()
    expect(text).toContain('Break-glass')
    expect(text).toContain(`\`jit acknowledge ${granted.grant}\``)
    expect(text).not.toContain('secret-of-')
  })

  it('is told for a day, then recorded as not told', async () => {
    let ahead = 0
    receiver.answer = { status: 500 }
    const dana = await start('', { now: () => Date.now() + ahead })
    await dana.grant({ break_glass: true, reason: 'prod is down' })
    await receiver.message()
    ahead = 25 * 3600_000
    expect(await recorded('grant.not_notified')).toMatchObject({
      hook: 'chat',
      about: 'break_glass',
      problem: 'it answered 500',
    })
  })
})

describe('a webhook', () => {
  it('that wants to hear of emergencies alone is not told of requests', async () => {
    const dana = await start(', on: [break_glass]')
    await ask(dana)
    const { granted } = await dana.grant({ break_glass: true, reason: 'prod is down' })
    expect((await receiver.message()).text).toContain(granted.grant)
  })
})
