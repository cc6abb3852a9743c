import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import type { LeaseIntent } from '../../src/targets/target.ts'
import { tokenKind } from '../../src/targets/token.ts'

const CONFIG = { audience: 'https://api.test', tasks: { plan: {} } }
const URL_OF_API = 'https://api.test/v2'

const read = (config: object) => v.parse(tokenKind.config, config)

async function mint(config: object, delivery: LeaseIntent['delivery']) {
  const target = tokenKind.create(read(config), {
    name: 'dev-api',
    environment: 'dev',
    resolveReference: (reference) => reference,
    signGrantToken: async () => 'the.token',
    now: Date.now,
  })
  const lease: LeaseIntent = {
    handle: `j${'0'.repeat(31)}`,
    mintBy: Date.now() + 1000,
    expiresAt: Date.now() + 60_000,
    delivery,
    grant: {
      id: 'g_1',
      principal: { kind: 'human', id: 'dana', name: 'dana', groups: [] },
      environment: 'dev',
      task: 'plan',
      signed: { repository: '', branch: '', commit: '' },
    },
  }
  const { credential } = await target.mint(lease, new AbortController().signal)
  return { credential, variables: target.variables }
}

describe('the url of a token target', () => {
  test.each([
    'https://api.test',
    'https://api.test:8443/v2',
    'http://127.0.0.1:8080',
    'http://localhost',
    'http://[::1]:1',
  ])('may be %s', (url) => {
    expect(v.is(tokenKind.config, { ...CONFIG, url })).toBe(true)
  })

  test.each([
    'http://api.test',
    'ftp://api.test',
    'api.test',
    'https://dana:secret@api.test',
    'https://api.test?x=1',
    'https://api.test/#x',
    '',
  ])('is refused as %s: the token would be read on the way, or the host is not clear', (url) => {
    expect(v.is(tokenKind.config, { ...CONFIG, url })).toBe(false)
  })

  test('is what makes a proxy possible', () => {
    expect(tokenKind.proxied?.(read(CONFIG))).toBe(false)
    expect(tokenKind.proxied?.(read({ ...CONFIG, url: URL_OF_API }))).toBe(true)
  })
})

describe('a token', () => {
  test('goes into the environment, with the url where there is one', async () => {
    const { credential, variables } = await mint({ ...CONFIG, url: URL_OF_API }, 'env')
    expect(credential).toEqual({
      values: { token: 'the.token', url: URL_OF_API },
      env: { DEV_API_TOKEN: 'the.token', DEV_API_URL: URL_OF_API },
      unset: [],
    })
    expect(variables).toEqual(['DEV_API_TOKEN', 'DEV_API_URL'])
    const without = await mint(CONFIG, 'env')
    expect(without.credential.env).toEqual({ DEV_API_TOKEN: 'the.token' })
    expect(without.variables).toEqual(['DEV_API_TOKEN'])
  })

  test('is for the proxy alone where it is delivered by one', async () => {
    const { credential } = await mint({ ...CONFIG, url: URL_OF_API }, 'proxy')
    const { upstream, ...rest } = credential
    expect(upstream).toEqual({ kind: 'http', url: URL_OF_API, token: 'the.token' })
    expect(rest.env).toEqual({ DEV_API_TOKEN: '{{token}}', DEV_API_URL: '{{url}}' })
    expect(JSON.stringify(rest)).not.toContain('the.token')
  })
})
