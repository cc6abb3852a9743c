import { expect, test } from 'vitest'
import { createSeal, newSealKey } from '../../src/broker/seal.ts'

test('what was sealed opens with the same key and for the same purpose alone', () => {
  const seal = createSeal(newSealKey())
  const sealed = seal.seal('undo-token', 'undo:1')
  expect(sealed).not.toContain('undo-token')
  expect(seal.open(sealed, 'undo:1')).toBe('undo-token')
  expect(() => seal.open(sealed, 'undo:2')).toThrow('does not open')
  expect(() => createSeal(newSealKey()).open(sealed, 'undo:1')).toThrow('does not open')
})

test('the same text is sealed differently each time', () => {
  const seal = createSeal(newSealKey())
  expect(seal.seal('x', 'p')).not.toBe(seal.seal('x', 'p'))
})

test('what was changed, cut short or never sealed does not open', () => {
  const seal = createSeal(newSealKey())
  const bytes = Buffer.from(seal.seal('undo-token', 'p'), 'base64url')
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    expect(() => seal.open(changed.toString('base64url'), 'p')).toThrow('does not open')
  }
  for (const text of ['', 'AAAA', bytes.subarray(0, 20).toString('base64url')]) {
    expect(() => seal.open(text, 'p')).toThrow('does not open')
  }
})

test.each(['', 'short', `${newSealKey()}AAAA`])('a key of another length is refused: %j', (key) => {
  expect(() => createSeal(key)).toThrow('expected 32 bytes')
})
