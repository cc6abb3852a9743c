import { describe, expect, it } from 'vitest'
import { notifyPause } from '../../src/broker/notifier.ts'
import { Hook } from '../../src/broker/notifier-hook.ts'

const KEY = Buffer.alloc(32, 7)

describe('a webhook', () => {
  it.each([
    ['key', 'c2hvcnQ=', 'notify.chat.secret: expected 24 to 64 bytes in base64'],
    ['key', 'not base64 at all, but as long as a key', 'notify.chat.secret'],
    ['url', 'http://chat.acme.dev/secret-path', 'notify.chat.url: file:url is not an https URL'],
  ])('with a %s that is none is refused, and not quoted', (which, value, message) => {
    const values: Record<string, string> = {
      'file:url': 'https://chat.acme.dev/x',
      'file:key': KEY.toString('base64'),
    }
    const config = { url: 'file:url', secret: 'file:key', on: [] }
    const resolve = (reference: string) => values[reference] ?? ''
    expect(() => new Hook('chat', config, resolve)).not.toThrow()
    values[`file:${which}`] = value
    expect(() => new Hook('chat', config, resolve)).toThrow(message)
    expect(() => new Hook('chat', config, resolve)).not.toThrow(value)
  })
})

it('pauses grow, are jittered and never longer than five minutes', () => {
  const longest = [0, 1, 2, 30].map((attempts) => notifyPause(attempts, () => 1))
  expect(longest).toEqual([500, 1000, 2000, 300_000])
  expect(notifyPause(1, () => 0)).toBe(500)
})
