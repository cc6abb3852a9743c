import { describe, expect, test } from 'vitest'
import { formatTime, receiptText } from '../../src/cli/receipt-text.ts'
import type { LeaseReceipt, Receipt } from '../../src/protocol/grant.ts'

const NOW = Date.parse('2026-11-22T12:00:00.000Z')

function receipt(...leases: Partial<LeaseReceipt>[]): Receipt {
  const at = '2026-11-22T12:10:00.000Z'
  const lease = { target: 'db', handle: 'j', outcome: 'revoked', revocability: 'hard', at } as const
  return {
    grant: 'g',
    state: 'revoked',
    ended_by: 'exit',
    ended_at: at,
    leases: leases.map((part) => ({ ...lease, ...part })),
    log: { seq: 1, hash: '' },
  }
}

describe('a receipt in words', () => {
  test('names the targets as they were asked for, others by name', () => {
    const leases = ['c', 'a', 'x', 'b'].map((target) => ({ target }))
    const asked = ['x', 'b']
    expect(receiptText(receipt(...leases), { now: NOW, asked }).gone).toBe('revoked x, b, a, c')
  })

  test('has no details of what is plainly gone, only of what is left to do', () => {
    const leases = [
      { target: 'api', detail: 'introspection answers inactive' },
      { target: 'db', detail: 'cleanup pending: the role owns a table' },
    ]
    const text = receiptText(receipt(...leases), { now: NOW })
    expect(text.gone).toBe('revoked api, db')
    expect(text.remaining).toEqual(['db: cleanup pending: the role owns a table'])
  })

  test('says revoked only of what is', () => {
    const text = receiptText(
      receipt(
        {},
        { target: 'aws', outcome: 'denied_until' },
        { target: 'api', outcome: 'expires_at' },
      ),
      { now: NOW },
    )
    expect(text.gone).toBe('revoked db')
    expect(text.remaining).toEqual(["api: can't be revoked, ends in 10m", 'aws: deny set for 10m'])
    expect(text.unsettled).toBe(false)
  })

  test('says what is not confirmed', () => {
    const text = receiptText(receipt({ outcome: 'retrying', detail: 'no route\u001b[31m' }), {
      now: NOW,
    })
    expect(text.gone).toBe('')
    expect(text.unsettled).toBe(true)
    expect(text.remaining).toEqual([
      'db: not confirmed yet, the broker keeps trying (no route\\u{1b}[31m)',
    ])
  })
})

test('a time of another day has its day', () => {
  const local = new Date(2026, 10, 22, 9, 5)
  expect(formatTime(local.toISOString(), local.getTime())).toBe('09:05')
  const before = new Date(2026, 10, 21, 23, 0).getTime()
  expect(formatTime(local.toISOString(), before)).toBe('2026-11-22 09:05')
})
