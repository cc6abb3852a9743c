import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { currentSession } from '../../src/auth/current-session.ts'
import { openWorkloadSession } from '../../src/auth/workload.ts'
import { detectWorkload, jobOf, workloadSource } from '../../src/auth/workload-source.ts'
import { workloadToken } from '../../src/auth/workload-token.ts'
import { memoryKeystore } from '../../src/keystore/memory.ts'
import type { Paths } from '../../src/lib/paths.ts'
import { Harness } from '../broker/harness.ts'
import { PipelineIssuer } from '../broker/pipeline-tokens.ts'

describe('where a job’s token comes from', () => {
  test.each([
    ['github', { kind: 'github' }],
    ['gitlab', { kind: 'variable', name: 'JIT_ID_TOKEN' }],
    ['kubernetes', { kind: 'file', path: '/var/run/secrets/tokens/jit' }],
    ['spiffe', { kind: 'file', path: '/var/run/secrets/tokens/jit' }],
    ['env:MY_TOKEN', { kind: 'variable', name: 'MY_TOKEN' }],
    ['file:/run/token', { kind: 'file', path: '/run/token' }],
  ])('%s', (text, source) => {
    expect(workloadSource(text)).toEqual(source)
  })

  test.each(['', 'GitHub', 'env:', 'env:A-B', 'file:', 'https://jit.acme.dev'])(
    '%j is none',
    (text) => {
      expect(() => workloadSource(text)).toThrow(/no source/)
    },
  )

  test('is told by the variables of the job, JIT_WORKLOAD first', () => {
    expect(detectWorkload({})).toBeUndefined()
    expect(detectWorkload({ CI: 'true' })).toBeUndefined()
    expect(detectWorkload({ GITHUB_ACTIONS: 'true' })?.source).toBe('github')
    expect(detectWorkload({ GITLAB_CI: 'true' })?.source).toBe('gitlab')
    const both = { GITLAB_CI: 'true', JIT_WORKLOAD: 'file:/t' }
    expect(detectWorkload(both)).toEqual({ source: 'file:/t', sure: true })
  })

  test('two runs of one job are two jobs', () => {
    const run = { GITHUB_ACTIONS: 'true', GITHUB_REPOSITORY: 'a/b', GITHUB_RUN_ID: '1' }
    expect(jobOf(run)).not.toBe(jobOf({ ...run, GITHUB_RUN_ATTEMPT: '2' }))
  })
})

test.each([
  ['plain http', { ACTIONS_ID_TOKEN_REQUEST_URL: 'http://pipelines.test/' }, 'sign_in_failed'],
  ['no address', {}, 'not_signed_in'],
  ['nobody there', { ACTIONS_ID_TOKEN_REQUEST_URL: 'http://127.0.0.1:1/' }, 'issuer_unreachable'],
])('GitHub’s token service at %s is an error of its own', async (_, env, code) => {
  const asked = { audience: 'x', env: { ACTIONS_ID_TOKEN_REQUEST_TOKEN: 't', ...env } }
  await expect(workloadToken({ kind: 'github' }, asked)).rejects.toMatchObject({ code })
})

describe('the session of a job', () => {
  let harness: Harness
  let issuer: PipelineIssuer
  let directory: string
  let time: number

  beforeEach(async () => {
    time = Date.now()
    directory = mkdtempSync(join(tmpdir(), 'jit-job-'))
    issuer = await PipelineIssuer.start('kubernetes', { audience: 'jit' })
    harness = await Harness.start({
      now: () => time,
      issuers: [issuer.provider],
      identity: [
        `{ issuer: https://kubernetes.default.svc, kind: pipeline, type: kubernetes, audience: jit,
           subjects: { 'system:serviceaccount:ci:deployer': {} } }`,
      ],
    })
  })

  afterEach(async () => {
    rmSync(directory, { recursive: true, force: true })
    await harness[Symbol.asyncDispose]()
  })

  const file = () => join(directory, 'token')
  const rotate = async () =>
    writeFileSync(file(), await issuer.token({}, { now: Math.floor(time / 1000) }))

  async function open() {
    await rotate()
    const keystore = memoryKeystore()
    const clock = { now: () => time, monotonic: () => performance.now() }
    const env = { JIT_AUDIENCE: 'jit' }
    const broker = harness.url
    const source = { broker, source: `file:${file()}`, keystore, clock, env }
    // A directory that can't be made: a job may have no disk to write to.
    const paths = { data: '/proc/nowhere' } as Paths
    return { session: await openWorkloadSession(source), source: { ...source, paths } }
  }

  const sidOf = (token: string) =>
    JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid

  test('is renewed with the token of now, under the same key, and writes nothing', async () => {
    const { session, source } = await open()
    expect(await currentSession(source)).toEqual(session)
    for (const rotated of [true, false]) {
      time += 14.5 * 60_000
      if (rotated) await rotate()
      const renewed = await currentSession(source)
      expect(renewed.access_token).not.toBe(session.access_token)
      expect(sidOf(renewed.access_token)).toBe(sidOf(session.access_token))
      expect(renewed.jwk).toEqual(session.jwk)
    }
  })

  test('that ended meanwhile is opened anew', async () => {
    const { session, source } = await open()
    time += 40 * 60_000
    const anew = await currentSession(source)
    expect(sidOf(anew.access_token)).not.toBe(sidOf(session.access_token))
    expect(anew.jwk).not.toEqual(session.jwk)
  })
})
