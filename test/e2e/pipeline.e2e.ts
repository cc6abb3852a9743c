import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GitHubJob } from '../auth/github-job.ts'
import { COMMIT, PipelineIssuer } from '../broker/pipeline-tokens.ts'
import { Home, JIT } from '../run/home.ts'

const POLICIES = `
@id("main-plans") permit (principal is Pipeline, action == Action::"plan", resource)
when { principal in Group::"releases" && context.repository == "github.com/acme/shop"
       && context.branch == "main" && context.commit == "${COMMIT}" };
`
const PLAN = [
  'exec',
  '--mask',
  'never',
  '--env',
  'dev',
  '--task',
  'plan',
  '--',
  'sh',
  '-c',
  'printf %s "$API_TOKEN"',
]

let directory: string
let keys: Server
let issuer: PipelineIssuer
let broker: ChildProcess
let url: string
let home: Home

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An address that is free now. */
async function freeAddress(): Promise<string> {
  const server = createServer()
  const address = await listening(server)
  await new Promise((resolve) => server.close(resolve))
  return address
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'jit-pipeline-'))
  url = await freeAddress()
  keys = createServer(async (request, response) => {
    const document = issuer.provider.documents.get(new URL(request.url ?? '/', address).href)
    response.end(await document?.().text())
  })
  const address = await listening(keys)
  issuer = await PipelineIssuer.start('github', { issuer: address, audience: url })
  writeFileSync(join(directory, 'pipelines.cedar'), POLICIES)
  const config = join(directory, 'broker.yaml')
  writeFileSync(
    config,
    `
url: ${url}
listen: ${new URL(url).host}
store: sqlite:ledger.db
policies: .
identity:
  - issuer: ${address}
    kind: pipeline
    type: github
    repositories:
      github.com/acme/shop: { id: 12345, owner_id: 678, groups: { releases: { environment: production } } }
groups: [releases]
tasks: { plan: {} }
environments: { dev: { tier: development } }
targets:
  api: { environment: dev, type: token, sensitivity: internal, audience: https://api.test, tasks: { plan: {} } }
`,
  )
  broker = spawn(process.execPath, [JIT, 'broker', '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (!broker.stderr) throw new Error('expected a pipe')
  for await (const line of createInterface({ input: broker.stderr })) {
    if (line.includes('serving')) break
    throw new Error(line)
  }
  home = new Home()
  home.env.JIT_BROKER = url
})

afterAll(async () => {
  broker.kill()
  if (broker.exitCode === null) await once(broker, 'exit')
  keys.closeAllConnections()
  keys.close()
  home[Symbol.dispose]()
  rmSync(directory, { recursive: true, force: true })
})

const job = (claims: Record<string, unknown> = {}) =>
  GitHubJob.start((aud) => issuer.token({ aud, ...claims }, { now: Math.floor(Date.now() / 1000) }))

test('a job with no secret but its platform’s token gets what its commit may have', async () => {
  await using runner = await job()
  const run = await home.run(PLAN, runner.env)
  expect(run).toMatchObject({ code: 0 })
  expect(runner.asked).toEqual([url])
  const { sub } = decodeJwt(run.stdout)
  expect(sub).toContain('pipeline')
  expect(sub).toContain(encodeURIComponent('github.com/acme/shop'))
})

test.each([
  ['another branch', { ref: 'refs/heads/topic' }],
  ['another commit', { sha: 'c'.repeat(40) }],
  ['no environment', { environment: undefined }],
])('the same job on %s is denied, in words', async (_, claims) => {
  await using runner = await job(claims)
  const run = await home.run(PLAN, runner.env)
  expect(run).toMatchObject({ code: 125, stdout: '' })
  expect(run.stderr).toMatch(/no policy permits/)
})

test('a repository made again under the name is nobody here', async () => {
  await using runner = await job({ repository_id: '54321' })
  const run = await home.run(PLAN, runner.env)
  expect(run).toMatchObject({ code: 125, stdout: '' })
  expect(run.stderr).toMatch(/listed here by this name, but with another id/)
})
