import { beforeEach, describe, expect, it } from 'vitest'
import { entryName, readSession, writeSession } from '../../src/auth/session.ts'
import type { Deps } from '../../src/cli/deps.ts'
import { type SandboxLimits, sandboxSession } from '../../src/cli/sandbox-session.ts'
import { createBrokerClient } from '../../src/client/broker.ts'
import { memoryKeystore } from '../../src/keystore/memory.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { Harness, type TestClient } from '../broker/harness.ts'
import { temporaryFolder } from '../folder.ts'

const MINUTE = 60_000
const NO_LIMITS: SandboxLimits = { ceiling: {}, expiresIn: undefined }

let harness: Harness
let later: number
let keystore: ReturnType<typeof memoryKeystore>
const now = () => Date.now() + later

beforeEach(async () => {
  later = 0
  harness = await Harness.start({ now })
  keystore = memoryKeystore()
  return () => harness[Symbol.asyncDispose]()
})

async function store(client: TestClient, agent?: string): Promise<void> {
  await writeSession(keystore, {
    broker: harness.url,
    ...(agent === undefined ? {} : { agent }),
    issuer: 'https://idp.test',
    client_id: 'jit-cli',
    access_token: client.accessToken,
    access_token_expires_at: now() + 15 * MINUTE,
    session_expires_at: new Date(now() + 600 * MINUTE).toISOString(),
    jwk: client.key,
    principal: { kind: agent === undefined ? 'human' : 'agent', id: 'x', name: 'x', groups: [] },
  })
}

async function open(limits = NO_LIMITS) {
  const deps = {
    env: {},
    clock: { now, monotonic: () => performance.now() },
    paths: pathsFrom({ HOME: temporaryFolder('session') }),
    keystore: async () => keystore,
    interrupted: new AbortController().signal,
  } as unknown as Deps
  const session = await sandboxSession({ broker: harness.url, agent: 'claude' }, limits, deps)
  const { authorizer } = session
  return { ...session, client: createBrokerClient({ broker: harness.url, authorizer }) }
}

describe('the session of a sandbox', () => {
  it('is handed on from the person’s, with its limits, and kept nowhere but in memory', async () => {
    await store(await harness.client())
    const { client } = await open({ ceiling: { tasks: ['plan'] }, expiresIn: 600 })
    const { principal, ceiling, session_expires_at } = await client.whoami()
    expect(principal).toMatchObject({ kind: 'agent', owner: expect.stringContaining('idp.test/') })
    expect(ceiling).toEqual({ tasks: ['plan'] })
    expect(Date.parse(session_expires_at) - now()).toBeLessThanOrEqual(10 * MINUTE)
    expect(await keystore.get(entryName({ broker: harness.url, agent: 'claude' }))).toBeUndefined()
  })

  it('goes on when its token has run out', async () => {
    await store(await harness.client())
    const { client } = await open()
    await client.whoami()
    later = 20 * MINUTE
    expect((await client.whoami()).principal.kind).toBe('agent')
  })

  it('ends with the sandbox, and the person’s stays', async () => {
    await store(await harness.client())
    const { client, end } = await open()
    await client.whoami()
    await end()
    await expect(client.whoami()).rejects.toMatchObject({ code: 'session_ended' })
    expect(await readSession(keystore, { broker: harness.url })).toBeDefined()
  })

  it('is the copilot’s own where it has signed in itself: used, and not ended', async () => {
    await store(await harness.agent('claude'), 'claude')
    const { client, end } = await open()
    expect((await client.whoami()).principal.id).toContain('#jit-agent/claude')
    await end()
    await client.whoami()
    const limits = { ceiling: { tasks: ['plan'] }, expiresIn: undefined }
    await expect(open(limits)).rejects.toMatchObject({ code: 'usage' })
  })

  it('says to sign in where the person isn’t', async () => {
    const { client } = await open()
    await expect(client.whoami()).rejects.toMatchObject({
      code: 'not_signed_in',
      hint: 'jit login',
    })
  })
})
