import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { Upstream } from '../../../src/protocol/delivery.ts'
import { parsePostgresUrl } from '../../../src/targets/postgres/config.ts'
import { proxiedCredential } from '../../../src/targets/postgres/proxied.ts'
import { temporaryFolder } from '../../folder.ts'

const LOGIN = { user: 'j_lease', password: 'canary', target: 'shop-db' }
const folder = temporaryFolder('proxied')
const file = join(folder, 'ca.pem')

const credentialAt = (query: string) =>
  proxiedCredential(
    parsePostgresUrl(`postgres://admin:root@db.test:6432/shop${query}`, 'target shop-db: admin'),
    LOGIN,
  )

describe('a login for a proxy', () => {
  test('has its secret in the upstream, and templates of the port beside it', async () => {
    const { upstream, ...rest } = await credentialAt('?sslmode=require')
    expect(upstream).toEqual({
      kind: 'postgres',
      host: 'db.test',
      port: 6432,
      database: 'shop',
      user: 'j_lease',
      password: 'canary',
      sslmode: 'require',
    })
    expect(v.is(Upstream, upstream)).toBe(true)
    expect(rest.env).toEqual({
      PGHOST: '{{host}}',
      PGPORT: '{{port}}',
      PGUSER: '{{user}}',
      PGDATABASE: '{{database}}',
      PGSSLMODE: 'disable',
    })
    expect(JSON.stringify(rest)).not.toMatch(/canary|root|j_lease|db\.test/)
    expect(JSON.stringify(upstream)).not.toContain('root')
  })

  test.each(['verify-ca', 'verify-full'])(
    'brings the authorities along for %s',
    async (sslmode) => {
      writeFileSync(file, 'the certificates')
      const { upstream } = await credentialAt(`?sslmode=${sslmode}&sslrootcert=${file}`)
      expect(upstream).toMatchObject({ sslmode, ca: 'the certificates' })
    },
  )

  test.each([
    '?sslmode=verify-full',
    '?sslmode=verify-full&sslrootcert=system',
    `?sslmode=require&sslrootcert=${file}`,
  ])('brings none where the system knows them, or nobody checks: %s', async (query) => {
    expect((await credentialAt(query)).upstream).not.toHaveProperty('ca')
  })

  test('is none where the authorities are out of reach, or more than a message holds', async () => {
    const gone = join(folder, 'gone.pem')
    await expect(credentialAt(`?sslrootcert=${gone}`)).rejects.toMatchObject({
      code: 'config_invalid',
      message: "target shop-db: sslrootcert can't be read (ENOENT)",
    })
    writeFileSync(file, 'x'.repeat(192 * 1024 + 1))
    await expect(credentialAt(`?sslrootcert=${file}`)).rejects.toMatchObject({
      code: 'config_invalid',
      hint: expect.stringContaining('192 KiB'),
    })
  })
})
