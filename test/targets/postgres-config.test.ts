import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import {
  clientAddress,
  PostgresConfig,
  parsePostgresUrl,
} from '../../src/targets/postgres/config.ts'
import { identifier, literal } from '../../src/targets/postgres/sql.ts'

const tasks = { deploy: { roles: ['migrator'], owner: 'migrator' } }

describe('configuration', () => {
  test.each([
    ['a value instead of a reference', { admin: 'postgres://u:p@h/d', tasks }],
    ['an owner outside roles', { admin: 'env:X', tasks: { a: { roles: ['r'], owner: 'o' } } }],
    ['a task without roles', { admin: 'env:X', tasks: { a: { roles: [] } } }],
    ['an unknown key', { admin: 'env:X', tasks, adress: 'db:5432' }],
    ['an address without a port', { admin: 'env:X', tasks, address: 'db' }],
    [
      'a role name PostgreSQL would cut',
      { admin: 'env:X', tasks: { a: { roles: ['r'.repeat(64)] } } },
    ],
  ])('%s is refused', (_, config) => {
    expect(v.safeParse(PostgresConfig, config).success).toBe(false)
  })
})

describe("the administrator's URL", () => {
  test('gives every part, decoded', () => {
    expect(
      parsePostgresUrl(
        'postgres://a%40b:p%3Aw@db.acme.dev:6432/shop?sslmode=require',
        'target t: admin',
      ),
    ).toEqual({
      user: 'a@b',
      password: 'p:w',
      host: 'db.acme.dev',
      port: 6432,
      database: 'shop',
      sslmode: 'require',
      sslrootcert: undefined,
    })
  })

  test('is verified TLS by default, plain on loopback only', () => {
    expect(parsePostgresUrl('postgres://a:b@db.acme.dev/shop', 'target t: admin').sslmode).toBe(
      'verify-full',
    )
    expect(parsePostgresUrl('postgres://a:b@[::1]/shop', 'target t: admin').sslmode).toBe('disable')
  })

  test.each([
    'mysql://a:b@h/d',
    'postgres:///d',
    'canary',
    'postgres://a:canary@h/d?sslmode=prefer',
  ])('%s is refused without being repeated', (url) => {
    expect(() => parsePostgresUrl(url, 'target t: admin')).toThrow(/^(?!.*canary).*target t/)
  })

  test('clients may have another address', () => {
    const admin = parsePostgresUrl('postgres://a:b@127.0.0.1/shop', 'target t: admin')
    expect(clientAddress(admin, '[::1]:6432')).toMatchObject({ host: '::1', port: 6432 })
  })
})

test('names and strings stay names and strings in SQL', () => {
  expect(identifier('a"; DROP TABLE x')).toBe('"a""; DROP TABLE x"')
  expect(literal("it's")).toBe("'it''s'")
  expect(literal("\\'; x")).toBe(" E'\\\\''; x'")
})
