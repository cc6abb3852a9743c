import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLog, type LogDetail, type LogLevel } from '../../src/broker/log.ts'
import { asRequest } from '../../src/broker/telemetry/request-id.ts'

const AT = Date.UTC(2026, 0, 2, 3, 4, 5)

function logged(write: (log: ReturnType<typeof createLog>) => void, level?: LogLevel) {
  const lines: string[] = []
  write(createLog((line) => lines.push(line), { now: () => AT, ...(level ? { level } : {}) }))
  return lines
}

const lineOf = (message: string, detail?: LogDetail) =>
  logged((log) => log.warn(message, detail))[0] ?? ''

test('a line is one JSON object: level, time, message, and what was named', () => {
  const [line = ''] = logged((log) => log.info('serving', { port: 7420, handles: ['a', 'b'] }))
  expect(JSON.parse(line)).toEqual({
    level: 'info',
    at: '2026-01-02T03:04:05.000Z',
    message: 'serving',
    port: 7420,
    handles: ['a', 'b'],
  })
})

test('no text makes a second line, or a line that is no JSON', () => {
  const lines: string[] = []
  const log = createLog((line) => lines.push(line), { now: () => AT })
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const property = fc.property(text, text, (message, reason) => {
    lines.length = 0
    log.error(message, { reason })
    JSON.parse(lines[0] ?? '')
    return lines.length === 1 && !/[\n\r]/.test(lines[0] ?? '')
  })
  fc.assert(property, { numRuns: 50 })
})

test('what is below the level is not written', () => {
  const all = (log: ReturnType<typeof createLog>) => {
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level](level)
  }
  const written = (level?: LogLevel) => logged(all, level).map((line) => JSON.parse(line).message)
  expect(written()).toEqual(['info', 'warn', 'error'])
  expect(written('debug')).toEqual(['debug', 'info', 'warn', 'error'])
  expect(written('error')).toEqual(['error'])
})

describe('a secret is not written', () => {
  test.each([
    [
      'a password in an address',
      'connect postgres://admin:hunter22@db:5432/shop failed',
      'hunter22',
    ],
    ['one with an @ in it', 'postgres://admin:p@ss@db/shop', 'p@ss'],
    ['a token', 'got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln from it', 'eyJzdWIiOiJ4In0'],
    ['an authorization', 'sent DPoP abcdefgh12345 along', 'abcdefgh12345'],
    ['a parameter', "could not log in: password='hunter22'", 'hunter22'],
  ])('%s, wherever it stands', (_, text, secret) => {
    const error = new Error(text)
    for (const line of [
      lineOf(text),
      lineOf('it failed', { reason: text, stack: error.stack }),
      lineOf('it failed', { handles: [text] }),
    ]) {
      expect(line).toContain('[redacted]')
      expect(line).not.toContain(secret)
    }
  })

  test.each(['authorization', 'dpop', 'password', 'secret', 'token', 'undo'])(
    'under the name %s',
    (name) => {
      const line = lineOf('it failed', { [name]: 'hunter22' })
      expect(JSON.parse(line)[name]).toBe('[redacted]')
    },
  )

  test('and what is none is left as it is', () => {
    const text =
      'postgres://db:5432/shop: nothing listens there (connect ECONNREFUSED 10.0.0.1:5432)'
    expect(JSON.parse(lineOf('a target does not answer', { reason: text })).reason).toBe(text)
  })
})

test('what is done for a request has its id, and nothing else has', async () => {
  const lines: string[] = []
  const log = createLog((line) => lines.push(line), { now: () => AT })
  let id = ''
  await asRequest(async (given) => {
    id = given
    await null
    log.warn('within')
  })
  log.warn('after')
  expect(lines.map((line) => JSON.parse(line).request)).toEqual([id, undefined])
})
