import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { diagnose } from '../../src/broker/diagnosis.ts'
import { newSealKey } from '../../src/broker/seal.ts'
import { JitError } from '../../src/lib/errors.ts'
import { Harness } from './harness.ts'

let harness: Harness
afterEach(() => harness[Symbol.asyncDispose]())

const ENV = { SECRET: 'introspection-secret' }

/** What is found, by what was looked at. */
async function found(now = Date.now()) {
  const findings = await diagnose({ config: harness.config, env: ENV, now })
  return Object.fromEntries(findings.map(({ check, ...finding }) => [check, finding]))
}

test('a broker that is well, while it serves: nothing is wrong, and nothing is changed', async () => {
  harness = await Harness.start()
  const alice = await harness.client()
  await alice.grant()
  const findings = await found()
  expect(Object.values(findings).map(({ state }) => state)).not.toContain('problem')
  expect(findings.store?.message).toContain('written to')
  expect(findings.keys?.message).toMatch(/session 0 days old/)
  expect(findings.revocations?.message).toBe('none is stuck')
  expect(findings['target shop']).toMatchObject({ state: 'ok', message: 'it is system-1' })
  expect(Object.values(await found())).toEqual(Object.values(findings))
  expect((await alice.call('GET', '/v1/grants')).body.grants).toHaveLength(1)
})

test('what is wrong is told, each with what to do, and the rest is looked at all the same', async () => {
  harness = await Harness.start()
  const alice = await harness.client()
  const { line, granted } = await alice.grant()
  harness.shop.beforeRevoke = async () => {
    throw new JitError('target_unreachable', 'shop: nothing listens there')
  }
  line.send({ type: 'release', grant: granted.grant, outcome: { code: 0, signal: null } })
  await line.next('released')
  harness.shop.beforeIdentity = harness.shop.beforeRevoke as () => Promise<void>
  writeFileSync(join(harness.directory, 'tasks.cedar'), 'permit (principal, action, resource)')
  writeFileSync(join(harness.directory, 'seal.key'), newSealKey(), { mode: 0o600 })
  const findings = await found(Date.now() + 600_000)
  expect(findings.policies).toMatchObject({ state: 'problem' })
  expect(findings.keys).toMatchObject({
    state: 'problem',
    hint: expect.stringContaining('seal_key'),
  })
  expect(findings.revocations).toMatchObject({
    state: 'problem',
    hint: expect.stringContaining('jit grants'),
  })
  expect(findings.revocations?.message).toMatch(/^stuck: 1 at shop, the oldest for (9m|10m)/)
  expect(findings['target shop']).toMatchObject({
    state: 'problem',
    message: 'shop: nothing listens there',
  })
  expect(findings.store).toMatchObject({ state: 'ok' })
  expect(findings['target api']).toMatchObject({ state: 'ok' })
})

test('no finding repeats a secret', async () => {
  harness = await Harness.start()
  const key = readFileSync(join(harness.directory, 'seal.key'), 'utf8').trim()
  const text = JSON.stringify(await found())
  expect(text).not.toContain(key)
  expect(text).not.toContain(ENV.SECRET)
})
