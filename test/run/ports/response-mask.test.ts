import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { replacing } from '../../../src/run/ports/response-mask.ts'

async function pass(chunks: readonly string[], secret: string, by: string): Promise<string> {
  const stream = replacing(Buffer.from(secret), Buffer.from(by))
  const whole = buffer(stream)
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  return (await whole).toString()
}

test('is replaced wherever the chunks are cut', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 60 })
  const secret = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 6 }), secret, async (chunks, word) => {
      expect(await pass(chunks, word, 'XY')).toBe(chunks.join('').replaceAll(word, 'XY'))
    }),
  )
})

test('only what may be its beginning waits for more', () => {
  const stream = replacing(Buffer.from('secret'), Buffer.from('x'))
  stream.write('event: 1\n')
  expect(String(stream.read())).toBe('event: 1\n')
  stream.write('a sec')
  expect(String(stream.read())).toBe('a ')
  stream.write('ond')
  expect(String(stream.read())).toBe('second')
})
