import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { vocabularyOf } from '../../../src/broker/config/config.ts'
import { loadConfig } from '../../../src/broker/config/load.ts'
import { JitError } from '../../../src/lib/errors.ts'
import { kinds, read, refusal, SAMPLE, sampleWith } from './sample.ts'

describe('a good file', () => {
  test('comes out typed, with seconds and absolute paths', () => {
    const config = read(SAMPLE)
    expect(config).toMatchObject({
      url: 'https://jit.acme.dev',
      grantsIssuer: 'https://jit.acme.dev/grants',
      listen: { host: '127.0.0.1', port: 7420 },
      store: { kind: 'sqlite', path: '/var/lib/jit/jit.db' },
      sealKey: { references: ['file:/var/lib/jit/seal.key'], generate: true },
      policies: '/etc/jit/policies',
      tasks: ['plan', 'deploy', 'migrate'],
      trustedProxies: [],
      limits: {
        ...{ grantsPerPrincipal: 20, agentWaiting: 5, agentAsks: 20, agentCooldown: 300 },
        ...{ requestsPerPrincipal: 3000, requestsPerAddress: 1200 },
        ...{ connections: 5000, connectionsPerAddress: 1000 },
      },
      lifeline: { grace: 10, suspendGrace: 600 },
      session: { tokenTtl: 900, idle: 1800, maxAge: 43_200 },
    })
    expect(config.identity[0]?.clients.get('jit-agent')).toBe('agent')
    expect(config.targets['shop-db']).toMatchObject({
      ttl: { default: 900, max: 3600 },
      settings: { admin: 'env:SHOP_DB_ADMIN_URL', tasks: { plan: { roles: ['readonly'] } } },
    })
  })

  test('says what policies may name', () => {
    expect(vocabularyOf(read(SAMPLE))).toEqual({
      groups: ['shop-devs', 'platform-oncall'],
      approvers: ['platform-oncall'],
      acr: [],
      environments: { prod: { tier: 'production' } },
      tasks: ['plan', 'deploy', 'migrate'],
      labels: { model: 'string' },
      targets: { 'shop-db': { environment: 'prod', sensitivity: 'confidential', type: 'fake' } },
    })
  })

  test('may set a greatest time below the usual default', () => {
    const text = sampleWith('ttl:\n      default: 15m\n      max: 1h', 'ttl: { max: 5m }')
    expect(read(text).targets['shop-db']?.ttl).toEqual({ default: 300, max: 300 })
  })

  test('says which tasks have a change of context decided at their next renewal', () => {
    const tasks = 'tasks: { plan: {}, deploy: , migrate: { on_context_change: renewal } }'
    const config = read(SAMPLE.replace(/tasks: \{ plan: \{\}.*/, tasks))
    expect(config.tasks).toEqual(['plan', 'deploy', 'migrate'])
    expect(config.onContextChange).toEqual({ plan: 'revoke', deploy: 'revoke', migrate: 'renewal' })
    expect(config.approval).toEqual({ lapse: 1800, renewableFor: 3600 })
  })

  test('may use a few aliases', () => {
    const text = sampleWith('groups: [shop-devs, ', 'groups: [&g shop-devs, ')
    expect(read(text.replace('approvers: [platform-oncall]', 'approvers: [*g]')).approvers).toEqual(
      ['shop-devs'],
    )
  })
})

describe('each mistake is one error with file, line, path and what was expected', () => {
  const cases: readonly [what: string, text: string, message: string | RegExp][] = [
    ['empty', '', 'broker.yaml:1: the file is empty'],
    ['only a comment', '# nothing\n', 'broker.yaml:1: the file is empty'],
    ['a list', '- a\n', 'broker.yaml:1: expected a map'],
    ['a tab', 'url: x\ngrants:\n\tissuer: y\n', /^broker\.yaml:3: indented with a tab/],
    ['a key twice', `${SAMPLE}url: https://x\n`, 'broker.yaml:26: this key is here twice'],
    ['two documents', 'a: 1\n---\nb: 2\n', 'broker.yaml:2: expected one document'],
    ['an open bracket', 'url: [\n', /^broker\.yaml:\d: /],
    ['a number as key', `${SAMPLE}1: x\n`, 'broker.yaml:26: expected a name as the key'],
    ['__proto__', `${SAMPLE}__proto__: {}\n`, 'broker.yaml:26: expected a name as the key'],
    [
      'an unknown key, with the nearest',
      sampleWith('policies:', 'polcies:'),
      "broker.yaml:4: polcies: unknown key: did you mean 'policies'?",
    ],
    [
      'a missing key',
      sampleWith('store: sqlite:/var/lib/jit/jit.db\n', ''),
      'broker.yaml:1: store: expected a value: this key is required',
    ],
    [
      'a store of another kind',
      sampleWith('sqlite:/var/lib/jit/jit.db', 'mysql://db/jit'),
      'broker.yaml:3: store: expected sqlite:PATH, or postgres: env:NAME, file:PATH, or a URL without a password',
    ],
    [
      'a password in the store',
      sampleWith('sqlite:/var/lib/jit/jit.db', 'postgres://jit:canary@db/jit'),
      'broker.yaml:3: store: expected a reference, never the secret itself',
    ],
    [
      'a PostgreSQL store without a seal key',
      sampleWith('sqlite:/var/lib/jit/jit.db', 'env:JIT_STORE_URL'),
      'broker.yaml:1: seal_key: expected one: all nodes over a PostgreSQL have the same',
    ],
    [
      'metrics nowhere',
      `${SAMPLE}metrics: {}\n`,
      'broker.yaml:26: metrics: expected listen, token or both',
    ],
    [
      'metrics for anybody beyond this machine',
      `${SAMPLE}tls: { cert: a, key: b }\nmetrics: { listen: 0.0.0.0:9464 }\n`,
      'broker.yaml:27: metrics.listen: expected a loopback address, or a token: beside it',
    ],
    [
      'a token of metrics for all to read',
      `${SAMPLE}metrics: { listen: 0.0.0.0:9464, token: env:T }\n`,
      'broker.yaml:26: metrics.listen: expected a loopback address, or tls: { cert, key }',
    ],
    [
      'a bad duration',
      sampleWith('max: 1h', 'max: 1 hour'),
      'broker.yaml:24: targets.shop-db.ttl.max: expected a duration like 15m, 90s or 1h30m, at most 7d',
    ],
    [
      'a default past the maximum',
      sampleWith('max: 1h', 'max: 10m'),
      'broker.yaml:23: targets.shop-db.ttl.default: expected at most ttl.max',
    ],
    [
      'an undeclared environment',
      sampleWith('environment: prod', 'environment: prd'),
      "broker.yaml:17: targets.shop-db.environment: not declared under environments: did you mean 'prod'?",
    ],
    [
      'an undeclared task',
      sampleWith('tasks: { plan: { roles', 'tasks: { pan: { roles'),
      "broker.yaml:21: targets.shop-db.tasks.pan: not declared under tasks: did you mean 'plan'?",
    ],
    [
      'a reserved task',
      sampleWith('migrate: {}', 'approve: {}'),
      'broker.yaml:11: tasks.approve: expected another name: this one is reserved',
    ],
    [
      'an authentication context that would be two',
      sampleWith('approvers: [platform-oncall]', "approvers: []\nacr: ['urn:a urn:b']"),
      'broker.yaml:11: acr.0: expected an authentication context: no spaces, quotes or backslashes',
    ],
    [
      'everybody as a trusted proxy',
      sampleWith(
        'url: https://jit.acme.dev',
        'url: https://jit.acme.dev\ntrusted_proxies: [0.0.0.0/0]',
      ),
      'broker.yaml:2: trusted_proxies.0: expected the address of a proxy, or its network as 10.0.0.0/8, and not everybody',
    ],
    [
      'more connections from one address than in all',
      `${SAMPLE}limits: { connections: 10, connections_per_address: 11 }\n`,
      'broker.yaml:26: limits.connections_per_address: expected at most limits.connections',
    ],
    [
      'an approver who is no group',
      sampleWith('approvers: [platform-oncall]', 'approvers: [oncall]'),
      'broker.yaml:10: approvers.0: not declared under groups: expected shop-devs, platform-oncall',
    ],
    [
      'an unknown kind',
      sampleWith('type: fake', 'type: fale'),
      "broker.yaml:18: targets.shop-db.type: unknown kind of target: did you mean 'fake'?",
    ],
    [
      "an unknown key of a kind's own",
      sampleWith('admin:', 'admn:'),
      "broker.yaml:20: targets.shop-db.admn: unknown key: did you mean 'admin'?",
    ],
    [
      "an unknown key deep in a kind's own part",
      sampleWith('{ roles: [readonly] }', '{ rols: [readonly] }'),
      "broker.yaml:21: targets.shop-db.tasks.plan.rols: unknown key: did you mean 'roles'?",
    ],
    [
      'a group twice',
      sampleWith(
        'groups: [shop-devs, platform-oncall]',
        'groups: [platform-oncall, platform-oncall]',
      ),
      'broker.yaml:9: groups.1: expected each group once',
    ],
    [
      'two issuers whose people would share ids',
      sampleWith(
        '    groups: groups\n',
        '  - issuer: https://IDP.acme.dev/\n    clients: { x: human }\n',
      ),
      'broker.yaml:8: identity.1.issuer: expected each issuer once, whatever its scheme',
    ],
    [
      'a loader variable',
      sampleWith('PG_CONN_STR', 'LD_PRELOAD'),
      'broker.yaml:25: targets.shop-db.env.LD_PRELOAD: expected another variable: this one decides what programs run or trust',
    ],
    [
      'an unknown placeholder',
      sampleWith('{{url}}', '{{uri}}'),
      'broker.yaml:25: targets.shop-db.env.PG_CONN_STR: unknown placeholder: expected {{url}}, {{password}}',
    ],
    [
      'an open placeholder',
      sampleWith('{{url}}', '{{url}'),
      /expected placeholders like \{\{url\}\}/,
    ],
    [
      'plain http',
      sampleWith('https://jit.acme.dev', 'http://jit.acme.dev'),
      'broker.yaml:1: url: expected https, or http on loopback',
    ],
    [
      'listening to all without TLS',
      sampleWith('127.0.0.1:7420', '0.0.0.0:7420'),
      'broker.yaml:2: listen: expected a loopback address, or tls: { cert, key }',
    ],
    [
      'a port that is none',
      sampleWith('127.0.0.1:7420', '127.0.0.1:74200'),
      /:2: listen: expected HOST:PORT/,
    ],
    [
      "a pipeline's key with people's provider",
      sampleWith('groups: groups', 'audience: x'),
      /^broker\.yaml:8: identity\.0\.audience: unknown key/,
    ],
    [
      'a client kind',
      sampleWith('jit-cli: human', 'jit-cli: robot'),
      /:7: identity\.0\.clients\.jit-cli: expected 'human' or 'agent'/,
    ],
    [
      'null for a map',
      sampleWith('groups: [shop-devs, platform-oncall]', 'groups:'),
      /:9: groups: expected a list/,
    ],
  ]

  test.each(cases)('%s', (_, text, message) => {
    const error = refusal(text)
    expect(error.code).toBe('config_invalid')
    if (typeof message === 'string') expect(error.message).toBe(message)
    else expect(error.message).toMatch(message)
  })

  test('a secret given inline is refused and not repeated', () => {
    for (const secret of ['postgres://admin:hunter2@db/shop', 'hunter2']) {
      const { message } = refusal(sampleWith('env:SHOP_DB_ADMIN_URL', secret))
      expect(message).toContain('broker.yaml:20: targets.shop-db.admin: expected')
      expect(message).not.toContain('hunter2')
    }
    const { message } = refusal(`${SAMPLE}seal_key: hunter2hunter2\n`)
    expect(message).toBe(
      'broker.yaml:26: seal_key: expected a reference, env:NAME or file:PATH, never the value itself; or a list of them, the newest first',
    )
  })

  test('aliases that multiply and deep nesting are refused quickly', () => {
    let bomb = 'a: &a [x, x, x, x, x, x, x, x, x]\n'
    for (let level = 1; level < 9; level++) {
      const [from, to] = [String.fromCharCode(96 + level), String.fromCharCode(97 + level)]
      bomb += `${to}: &${to} [${Array(9).fill(`*${from}`).join(', ')}]\n`
    }
    expect(refusal(bomb).message).toMatch(/^broker\.yaml:1: too many aliases/)
    expect(refusal(`url: ${'['.repeat(50_000)}`).message).toMatch(/^broker\.yaml:\d+: /)
    expect(refusal('url: &a [*a]\n').message).toMatch(/^broker\.yaml:1: /)
  })
})

test('plain http beyond loopback needs the loud option', () => {
  const text = `${sampleWith('https://jit', 'http://jit')}dangerously_allow_plain_http: true\n`
  expect(read(text).dangerouslyAllowPlainHttp).toBe(true)
})

test('a file that cannot be read is a mistake of the configuration', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'jit-config-'))
  try {
    await expect(loadConfig(join(directory, 'none.yaml'), kinds)).rejects.toMatchObject({
      code: 'config_invalid',
      message: expect.stringContaining('ENOENT'),
    })
    await writeFile(join(directory, 'broker.yaml'), SAMPLE.replace('/var/lib/jit/', './data/'))
    const config = await loadConfig(join(directory, 'broker.yaml'), kinds)
    expect(config.store).toEqual({ kind: 'sqlite', path: join(directory, 'data', 'jit.db') })
  } finally {
    await rm(directory, { recursive: true })
  }
})

/** Anything but a refusal with a line is a failure. */
function onlyRefuses(text: string): void {
  try {
    read(text)
  } catch (error) {
    expect(error).toBeInstanceOf(JitError)
    expect(error).toMatchObject({ code: 'config_invalid' })
    expect((error as JitError).message).toMatch(/^broker\.yaml:[1-9][0-9]*: /)
  }
}

test('whatever the text, it is read or refused with a line', () => {
  const lines = fc.array(
    fc.constantFrom(
      ...SAMPLE.split('\n'),
      '\t',
      '- ',
      '&a',
      '*a',
      '{',
      '? [x]',
      '<<: *a',
      '!!binary x',
      '%YAML 9',
      '---',
    ),
  )
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), onlyRefuses))
  fc.assert(fc.property(lines, (chosen) => onlyRefuses(chosen.join('\n'))))
  const cut = fc.tuple(fc.nat(SAMPLE.length), fc.nat(20), fc.string({ maxLength: 6 }))
  fc.assert(
    fc.property(cut, ([at, length, put]) =>
      onlyRefuses(SAMPLE.slice(0, at) + put + SAMPLE.slice(at + length)),
    ),
    { numRuns: 500 },
  )
})
