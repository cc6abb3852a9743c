import { expect, test } from 'vitest'
import { keepSession } from '../../src/client/keep-session.ts'
import { JitError } from '../../src/lib/errors.ts'

test('while a command runs its session is looked after, also after a renewal that failed', async () => {
  const stop = new AbortController()
  const asked: string[] = []
  const authorizer = {
    async headers({ url }: { url: URL }) {
      asked.push(url.href)
      if (asked.length === 3) stop.abort()
      if (asked.length === 1) throw new JitError('issuer_unreachable', 'no')
      return {}
    },
  }
  const broker = 'https://jit.test'
  await keepSession({ authorizer, broker, every: 1, signal: stop.signal })
  expect(asked).toEqual(Array(3).fill('https://jit.test/v1/whoami'))
})
