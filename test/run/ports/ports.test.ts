import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deliverThroughPorts } from '../../../src/run/ports/delivered.ts'
import type { Ports } from '../../../src/run/ports/ports.ts'
import { sandboxPorts } from '../../../src/run/ports/sandbox-ports.ts'
import { fillTemplates } from '../../../src/run/ports/templates.ts'
import { credential } from '../fake-broker.ts'
import { Api } from './api.ts'
import { LOGIN, postgresCredential, tokenCredential } from './credentials.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'jit-ports-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('templates are filled with what has a value, and with nothing twice', () => {
  const templates = { A: '{{user}}:{{user}}@{{host}}', B: '{{nothing}} {{toString}}' }
  expect(fillTemplates(templates, { user: '{{host}}', host: 'h' })).toEqual({
    A: '{{host}}:{{host}}@h',
    B: '{{nothing}} {{toString}}',
  })
})

describe('credentials for a command', () => {
  test('come back as they are where none has an upstream', async () => {
    const given = credential({ SHOP: 'x' })
    await using delivered = await deliverThroughPorts([given], { runtime: folder, inside: false })
    expect(delivered.credentials).toEqual([{ ...given, ported: false }])
  })

  test('hold nothing of an upstream', async () => {
    const token = 'canary-token'
    const database = { ...postgresCredential({ port: 1 }), secrets: [LOGIN.password] }
    const given = [database, tokenCredential('http://127.0.0.1:9', token)]
    await using delivered = await deliverThroughPorts(given, { runtime: folder, inside: false })
    const text = JSON.stringify(delivered.credentials)
    expect(text).not.toContain(token)
    expect(text).not.toContain(LOGIN.password)
    expect(text).not.toContain(LOGIN.user)
    expect(text).not.toContain('upstream')
    expect(text).not.toContain('{{')
  })

  test('may not send programs elsewhere by a template of the broker', async () => {
    const given = { ...postgresCredential({ port: 1 }), env: { HTTPS_PROXY: 'http://elsewhere' } }
    const delivered = deliverThroughPorts([given], { runtime: folder, inside: false })
    await expect(delivered).rejects.toMatchObject({ code: 'broker_failed' })
  })
})

const shared = () => join(folder, 'shared')

function openedFor(route: (sockets: ReadonlyMap<string, string>) => void): Ports {
  return sandboxPorts({ linkPort: 7421, socket: join(folder, 'http'), folder: shared(), route })
}

describe('in a sandbox', () => {
  const routes: ReadonlyMap<string, string>[] = []
  let ports: Ports
  beforeEach(() => {
    routes.length = 0
    ports = openedFor((sockets) => routes.push(sockets))
  })
  afterEach(() => ports.close())

  test('PostgreSQL is where the link is', async () => {
    const { env } = await ports.deliver(postgresCredential({ port: 1 }))
    expect(env).toMatchObject({ PGHOST: '127.0.0.1', PGPORT: '7421', PGDATABASE: 'postgres' })
    expect(env.DATABASE_URL).toBe(
      `postgres://${env.PGUSER}@127.0.0.1:7421/postgres?sslmode=disable`,
    )
  })

  test('the hosts of live leases are routed to a socket, and no others', async () => {
    await using api = await Api.start()
    const { env } = await ports.deliver(tokenCredential(api.url(), 'canary-token'))
    const [host, socketPath = ''] = [...(routes.at(-1) ?? [])][0] ?? []
    expect(host).toBe('127.0.0.1')
    const headers = { host: `127.0.0.1:${api.port}`, authorization: `Bearer ${env.API_TOKEN}` }
    const asked = request({ socketPath, path: `${api.url()}/x`, headers }).end()
    const answer = await new Promise<NodeJS.ReadableStream>((got) => asked.once('response', got))
    expect(await text(answer)).toContain(env.API_TOKEN)
    expect(api.seen[0]?.headers.authorization).toBe('Bearer canary-token')
    await ports.end('l1')
    expect(routes.at(-1)).toEqual(new Map())
  })

  test('an API on loopback is reached through the proxy, the link without', async () => {
    const { env } = await ports.deliver(tokenCredential('http://127.0.0.1:9', 'canary-token'))
    expect(env.NO_PROXY).toBe('127.0.0.1:7421')
    expect(env).not.toHaveProperty('HTTP_PROXY')
  })

  test('commands trust what lies in the folder, until the ports close', async () => {
    const { env } = await ports.deliver(tokenCredential('https://api.example.com', 'canary-token'))
    expect(env.SSL_CERT_FILE).toBe(env.NODE_EXTRA_CA_CERTS)
    expect(readdirSync(shared())).toContain(env.SSL_CERT_FILE?.slice(shared().length + 1))
    expect(env).not.toHaveProperty('NO_PROXY')
    await ports.close()
    expect(readdirSync(shared())).toEqual([])
    ports = openedFor(() => {})
  })
})
