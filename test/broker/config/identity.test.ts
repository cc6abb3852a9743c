import { describe, expect, test } from 'vitest'
import { read, refusal, SAMPLE, sampleWith, withIdentity } from './sample.ts'

const GITHUB = `
  - issuer: https://token.actions.githubusercontent.com
    kind: pipeline
    repositories:
      github.com/acme/shop: { id: 12345, owner_id: 678, groups: { shop-pipelines: {} } }`
const SPIFFE = `
  - issuer: spiffe://acme.dev
    kind: pipeline
    jwks_uri: file:trust.json
    token_age: 10m
    audience: jit
    subjects: { 'spiffe://acme.dev/ci': {} }`

describe('an issuer of pipelines’ tokens', () => {
  test('is read with what goes without saying', () => {
    expect(read(withIdentity(GITHUB)).pipelines).toEqual([
      {
        issuer: 'https://token.actions.githubusercontent.com',
        type: 'github',
        audience: 'https://jit.acme.dev',
        tokenAge: 300,
        rules: new Map([
          [
            'acme/shop',
            {
              repository: 'github.com/acme/shop',
              id: '12345',
              ownerId: '678',
              claims: new Map(),
              groups: new Map([['shop-pipelines', new Map()]]),
            },
          ],
        ]),
      },
    ])
    expect(read(withIdentity(SPIFFE)).pipelines).toMatchObject([
      { type: 'spiffe', audience: 'jit', tokenAge: 600, jwksUri: 'file:/etc/jit/trust.json' },
    ])
    expect(read(SAMPLE).pipelines).toEqual([])
  })

  test.each<[string, string, RegExp]>([
    ['no id', GITHUB.replace('id: 12345, ', ''), /shop\.id: expected a value/],
    ['a name for an id', GITHUB.replace('12345', 'shop'), /shop\.id: expected a number/],
    ['no repository', GITHUB.replace(/\n {4}repositories(.|\n)*/, ''), /repositories: expected at/],
    [
      'a repository without a host',
      GITHUB.replace('github.com/', ''),
      /expected HOST\/OWNER\/NAME/,
    ],
    ['an undeclared group', GITHUB.replace('shop-pipelines', 'typo'), /typo: not declared/],
    ['an unknown key', GITHUB.replace('owner_id', 'ownerid'), /did you mean 'owner_id'/],
    ['clients', `${GITHUB}\n    clients: { a: human }`, /clients: unknown key/],
    ['another kind', GITHUB.replace('kind: pipeline', 'kind: robot'), /'people' or 'pipeline'/],
    [
      'a type nobody knows',
      GITHUB.replace('token.actions.githubusercontent.com', 'ghe.dev'),
      /type: expected a value: github/,
    ],
    ['subjects', `${GITHUB}\n    subjects: { a: {} }`, /subjects: expected repositories/],
    [
      'plain keys',
      SPIFFE.replace('file:trust.json', 'http://acme.dev/keys'),
      /jwks_uri: expected https/,
    ],
    [
      'no keys of a trust domain',
      SPIFFE.replace(/ {4}jwks_uri.*\n/, ''),
      /jwks_uri: expected a value/,
    ],
    [
      'a subject of another trust domain',
      SPIFFE.replace('acme.dev/ci', 'acme.dev.evil.dev/ci'),
      /evil\.dev\/ci: expected spiffe:\/\/acme\.dev\/PATH/,
    ],
    ['tokens of days', SPIFFE.replace('10m', '2d'), /token_age: expected at most 24h/],
    ['the same issuer twice', GITHUB + GITHUB, /expected each issuer once/],
  ])('with %s is refused', (_, entries, message) => {
    expect(refusal(withIdentity(entries)).message).toMatch(message)
  })

  test('one name at two hosts would be one in its tokens, and is refused', () => {
    const twice = `${GITHUB}\n      ghe.dev/acme/shop: { id: 1, owner_id: 2 }`
    expect(refusal(withIdentity(twice)).message).toMatch(/expected each once/)
  })
})

describe('forge:', () => {
  const forge = (text: string) => sampleWith('labels:', `forge: ${text}\nlabels:`)

  test('is GitHub’s, unless it says where', () => {
    expect(read(SAMPLE).forge).toBeUndefined()
    expect(read(forge('{ type: github }')).forge).toEqual({
      type: 'github',
      url: 'https://api.github.com',
      hosts: ['github.com'],
      timeout: 2,
    })
    const own = '{ type: github, url: https://ghe.dev/api/v3/, token: env:T, hosts: [ghe.dev] }'
    expect(read(forge(own)).forge).toMatchObject({ url: 'https://ghe.dev/api/v3', token: 'env:T' })
  })

  test.each([
    ['a plain address', '{ type: github, url: http://ghe.dev }', /forge\.url: expected https/],
    ['a name that may lead elsewhere', '{ type: github, url: http://ghe.localhost }', /https/],
    ['a token given inline', '{ type: github, token: ghp_1 }', /reference/],
    ['too much patience', '{ type: github, timeout: 1m }', /at most 10s/],
  ])('with %s is refused', (_, text, message) => {
    expect(refusal(forge(text)).message).toMatch(message)
  })
})
