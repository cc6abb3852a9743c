import { expect, test } from 'vitest'
import { Harness } from './harness.ts'

test('every answer is for nobody to keep, guess about, show in a page or load from one', async () => {
  await using harness = await Harness.start()
  const paths = ['/healthz', '/v1/grants', '/jwks', '/oauth/token', '/nothing']
  for (const path of paths) {
    const { headers } = await fetch(new URL(path, harness.url))
    expect(Object.fromEntries(headers)).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    })
    // No page of another origin reads it.
    expect(headers.get('access-control-allow-origin')).toBeNull()
    // Over plain HTTP it would be for anybody on the way to say (RFC 6797 section 7.2).
    expect(headers.get('strict-transport-security')).toBeNull()
  }
})
