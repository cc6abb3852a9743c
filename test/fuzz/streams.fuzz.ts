import { once } from 'node:events'
import { duplexPair, PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { StdioTransport } from '../../src/cli/mcp/stdio.ts'
import { readStartup } from '../../src/run/ports/postgres-startup.ts'
import {
  encodeParameters,
  encodeStartup,
  parseParameters,
  REQUEST_CODES,
} from '../../src/run/ports/postgres-wire.ts'
import { Refusal } from '../../src/run/ports/refusal.ts'
import { replacing } from '../../src/run/ports/response-mask.ts'
import { mutatedBytes, mutatedJson, mutatedText } from './mutations.ts'
import { holds, SECRET } from './property.ts'

/** Where a stream of bytes is cut. */
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 })

function chunks(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = at.map((one) => Math.floor(one * bytes.length)).sort((a, b) => a - b)
  return [...places, bytes.length].map((end, i) => bytes.subarray(places[i - 1] ?? 0, end))
}

const PARAMETERS = encodeParameters(
  new Map([
    ['user', 'dana'],
    ['database', SECRET],
  ]),
)
const STARTUPS = [
  encodeStartup(3 << 16, PARAMETERS),
  Buffer.concat([encodeStartup(REQUEST_CODES.ssl), encodeStartup(3 << 16, PARAMETERS)]),
  encodeStartup(REQUEST_CODES.cancel, Buffer.from('00001234secret', 'latin1')),
]

test("a PostgreSQL client's first bytes are understood, or refused, wherever they are cut", async () => {
  await holds(
    fc.tuple(mutatedBytes(...STARTUPS), cuts),
    async ([bytes, at]) => {
      const [client, port] = duplexPair()
      for (const chunk of chunks(bytes, at)) client.write(chunk)
      client.end()
      const startup = await readStartup(port, AbortSignal.timeout(30_000)).catch((thrown) => {
        if (thrown instanceof Refusal) return undefined
        throw thrown
      })
      client.destroy()
      if (startup?.kind !== 'session') return
      const again = parseParameters(encodeParameters(startup.parameters))
      expect(again).toEqual(startup.parameters)
    },
    { share: 3 },
  )
})

const CALL = {
  ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
  params: { name: 'request_access', arguments: { reason: SECRET } },
}

test('each line of an MCP client is a message or answered as none, and the next is read', async () => {
  // Tens of thousands of lines are answered one by one.
  const text = mutatedText(JSON.stringify(CALL)).map((whole) => whole.slice(0, 20_000))
  const lines = fc.tuple(fc.oneof(mutatedJson(CALL), text), cuts)
  await holds(lines, async ([line, at]) => {
    const [input, output] = [new PassThrough(), new PassThrough()]
    const transport = new StdioTransport({ input, output })
    const seen: unknown[] = []
    transport.onmessage = (message) => seen.push(message)
    let answered = ''
    output.on('data', (chunk) => {
      answered += chunk
    })
    await transport.start()
    for (const chunk of chunks(Buffer.from(line), at)) input.write(chunk)
    input.write(`\n{"jsonrpc":"2.0","id":"last","method":"ping"}\n`)
    input.end()
    await once(input, 'end')
    await setImmediate()
    expect(seen.at(-1)).toMatchObject({ id: 'last' })
    for (const answer of answered.split('\n').filter(Boolean)) {
      expect(JSON.parse(answer)).toMatchObject({ error: { code: expect.any(Number) } })
      expect(answer).not.toContain(SECRET)
    }
  })
})

test('a token is taken out of an answer wherever it is cut, and nothing else is changed', async () => {
  const secret = Buffer.from(SECRET)
  const sample = Buffer.concat([Buffer.from('before hunter2-hunt '), secret, Buffer.from(' after')])
  const texts = fc.tuple(mutatedBytes(sample), cuts)
  await holds(texts, async ([bytes, at]) => {
    const mask = replacing(secret, Buffer.from('xxx'))
    for (const chunk of chunks(bytes, at)) mask.write(chunk)
    mask.end()
    const out = Buffer.concat(await mask.toArray()).toString('latin1')
    expect(out).toBe(bytes.toString('latin1').replaceAll(SECRET, 'xxx'))
  })
})
