import { expect, test } from 'vitest'
import { secretsOf } from '../../../src/run/masking/secrets.ts'
import { credential } from '../fake-broker.ts'

test('what the broker says is secret, and what a proxy keeps to itself', () => {
  const inEnvironment = { ...credential({ PGPASSWORD: 'pass-word' }), secrets: ['pass-word'] }
  const proxied = {
    ...credential({ API_TOKEN: '{{token}}' }),
    upstream: { kind: 'http', url: 'https://api.acme.dev', token: 'to-ken' },
  } as const
  expect(secretsOf([inEnvironment, credential({ PGUSER: 'j1' }), proxied])).toEqual([
    'pass-word',
    'to-ken',
  ])
})
