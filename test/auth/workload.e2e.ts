import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Harness } from '../broker/harness.ts'
import { COMMIT, PipelineIssuer } from '../broker/pipeline-tokens.ts'
import { ended, Home } from '../run/home.ts'
import { GitHubJob } from './github-job.ts'

/** What GitHub signed decides; a pipeline that were believed would be refused. */
const POLICIES = `
@id("main-deploys") permit (principal is Pipeline, action == Action::"deploy", resource)
when { context.repository == "github.com/acme/shop" && context.branch == "main" };
@id("gitlab-deploys") permit (principal is Pipeline, action == Action::"deploy", resource)
when { context.repository == "gitlab.com/acme/team/shop" };
@id("accounts-deploy") permit (principal is Pipeline, action == Action::"deploy", resource)
when { principal in Group::"oncall" };
@id("claims") forbid (principal is Pipeline, action, resource)
when { context.claimed.repository != "" || context.claimed.branch != "" };
@id("people") permit (principal is Human, action, resource);
`
const AUDIENCE = 'https://jit.test'
const IDENTITY = [
  `{ issuer: https://token.actions.githubusercontent.com, kind: pipeline, audience: '${AUDIENCE}',
     repositories: { github.com/acme/shop: { id: 12345, owner_id: 678 } } }`,
  `{ issuer: https://gitlab.com, kind: pipeline, audience: '${AUDIENCE}',
     repositories: { gitlab.com/acme/team/shop: { id: 22, owner_id: 72 } } }`,
  `{ issuer: https://kubernetes.default.svc, kind: pipeline, type: kubernetes, audience: '${AUDIENCE}',
     subjects: { 'system:serviceaccount:ci:deployer': { groups: { oncall: {} } } } }`,
]
const DEPLOY = ['exec', '--env', 'dev', '--task', 'deploy', '--target', 'shop', '--']
const PRINT = [...DEPLOY, 'sh', '-c', 'echo "$FAKE_SECRET"']

let harness: Harness
let home: Home
let issuers: Record<'github' | 'gitlab' | 'kubernetes', PipelineIssuer>

const now = () => Math.floor(Date.now() / 1000)

beforeEach(async () => {
  const options = { audience: AUDIENCE }
  issuers = {
    github: await PipelineIssuer.start('github', options),
    gitlab: await PipelineIssuer.start('gitlab', options),
    kubernetes: await PipelineIssuer.start('kubernetes', options),
  }
  harness = await Harness.start({
    identity: IDENTITY,
    issuers: Object.values(issuers).map(({ provider }) => provider),
    policies: POLICIES,
  })
  home = new Home()
  home.env.JIT_BROKER = harness.url
  home.env.JIT_AUDIENCE = AUDIENCE
})

afterEach(async () => {
  home[Symbol.dispose]()
  await harness[Symbol.asyncDispose]()
})

/** Ends of sessions of pipelines, as the log tells them. */
async function sessions(): Promise<string[]> {
  const admin = await harness.client({ groups: ['admins'] })
  const { body } = await admin.call('GET', '/v1/audit')
  const entries = body.entries as { event: string; principal: { kind: string } | null }[]
  return entries
    .filter(
      ({ event, principal }) => event.startsWith('session.') && principal?.kind === 'pipeline',
    )
    .map(({ event }) => event)
}

/** A checkout of something else in the working directory. */
function checkOut(remote: string, branch: string): void {
  const git = join(home.directory, '.git')
  mkdirSync(join(git, 'refs/heads'), { recursive: true })
  mkdirSync(join(git, 'objects'))
  writeFileSync(join(git, 'HEAD'), `ref: refs/heads/${branch}\n`)
  writeFileSync(join(git, 'config'), `[remote "origin"]\n\turl = ${remote}\n`)
  writeFileSync(join(git, 'refs/heads', branch), `${'a'.repeat(40)}\n`)
}

const github = (claims: Record<string, unknown> = {}) =>
  GitHubJob.start((aud) => issuers.github.token({ aud, ...claims }, { now: now() }))

describe('in a job of GitHub Actions, with nothing signed in, jit exec', () => {
  test('runs the command as the job, and leaves nothing behind', async () => {
    await using job = await github()
    checkOut('https://github.com/evil/x', 'evil')
    const run = await home.run(PRINT, job.env)
    // It has its secret; whoever reads the job's log doesn't.
    expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining('[masked]') })
    expect(job.asked).toEqual([AUDIENCE])
    expect(existsSync(join(home.directory, '.local/share/jit/keystore'))).toBe(false)
    expect(readdirSync(home.directory)).not.toContain('.config')
    expect(harness.shop.handles.size).toBe(0)
    expect(await sessions()).toEqual(['session.opened', 'session.ended'])
  })

  test('gets nothing for another branch, whatever is checked out', async () => {
    await using job = await github({ ref: 'refs/heads/topic' })
    checkOut('https://github.com/acme/shop', 'main')
    expect(await home.run(PRINT, job.env)).toMatchObject({ code: 125, stdout: '' })
  })

  test('gives its session back when the command fails, or dies of a signal', async () => {
    await using job = await github()
    expect(await home.run([...DEPLOY, 'false'], job.env)).toMatchObject({ code: 1 })
    const killed = await home.run([...DEPLOY, 'sh', '-c', 'kill -TERM $$'], job.env)
    expect(killed).toMatchObject({ signal: 'SIGTERM' })
    const [opened, closed] = ['session.opened', 'session.ended']
    expect(await sessions()).toEqual([opened, closed, opened, closed])
  })

  test('never acts as a person who signed in on the runner', async () => {
    await using job = await github()
    await home.signIn(harness.url)
    const whoami = await home.run(['whoami', '--json'], job.env)
    expect(JSON.parse(whoami.stdout)).toMatchObject({
      principal: { kind: 'pipeline' },
      signed: { repository: 'github.com/acme/shop', branch: 'main', commit: COMMIT },
    })
    expect((await home.run(['whoami'], job.env)).stdout).toContain(
      'runs: github.com/acme/shop@main\nset off by: dana\n',
    )
    const { ACTIONS_ID_TOKEN_REQUEST_URL: _, ...without } = job.env
    const run = await home.run(PRINT, without)
    expect(run.code).toBe(125)
    expect(run.stderr).toMatch(/gives this job no identity token[\s\S]*id-token: write/)
  })

  test('wants the broker to be named for the job', async () => {
    await using job = await github()
    mkdirSync(join(home.directory, '.config/jit'), { recursive: true })
    writeFileSync(join(home.directory, '.config/jit/config.yaml'), `broker: ${harness.url}\n`)
    const run = await home.run(PRINT, { ...job.env, JIT_BROKER: '' })
    expect(run).toMatchObject({ code: 125, stderr: expect.stringContaining('JIT_BROKER=') })
    expect(job.asked).toEqual([])
  })

  test('says which audience the broker takes, when it is another', async () => {
    await using job = await github()
    const run = await home.run(PRINT, { ...job.env, JIT_AUDIENCE: '' })
    expect(job.asked).toEqual([harness.url])
    expect(run.stderr).toContain(`this broker takes those made for ${AUDIENCE}`)
  })
})

describe('jit login --workload', () => {
  test('signs a job in once for all its steps', async () => {
    await using job = await github()
    const login = await home.run(['login', '--workload', '--json'], job.env)
    expect(JSON.parse(login.stdout)).toMatchObject({
      event: 'signed_in',
      principal: { kind: 'pipeline', name: 'acme/shop · deploy.yml', triggered_by: 'dana' },
    })
    const [one, two] = await Promise.all([home.run(PRINT, job.env), home.run(PRINT, job.env)])
    expect([one.code, two.code]).toEqual([0, 0])
    expect(job.asked).toHaveLength(1)
    expect(await sessions()).toEqual(['session.opened'])
  })

  test('keeps it from the next job on the same machine', async () => {
    await using job = await github()
    await home.run(['login', '--workload=github'], job.env)
    await home.run(PRINT, { ...job.env, GITHUB_RUN_ID: '2' })
    expect(await sessions()).toEqual(['session.opened', 'session.opened', 'session.ended'])
  })

  test.each([
    [['login', '--workload=jenkins'], /no source of a job's identity token/],
    [['login', '--workload'], /nothing here tells/],
    [['login', '--workload=github', '--browser'], /--browser: with --workload/],
  ])('%j is a mistake in the command line', async (args, message) => {
    const run = await home.run(args)
    expect(run.code).toBe(2)
    expect(run.stderr).toMatch(message)
  })
})

describe('a token that a job has for its whole life', () => {
  const gitlab = async (claims: Record<string, unknown> = {}) => ({
    GITLAB_CI: 'true',
    CI_JOB_ID: '302',
    JIT_ID_TOKEN: await issuers.gitlab.token(claims, { now: now() }),
  })

  test('serves one step after the other', async () => {
    const env = await gitlab()
    expect((await home.run(PRINT, env)).code).toBe(0)
    expect((await home.run(PRINT, env)).code).toBe(0)
  })

  test('serves no second process at the same time, and says what does', async () => {
    const env = await gitlab()
    const first = home.start([...DEPLOY, 'sh', '-c', 'echo ready; read line'], env)
    const whole = ended(first)
    if (first.stdout) await once(first.stdout, 'data')
    const second = await home.run(PRINT, env)
    expect(second).toMatchObject({ code: 125, stdout: '' })
    expect(second.stderr).toContain('jit login --workload')
    first.stdin?.end('\n')
    expect((await whole).code).toBe(0)
  })

  test('signs in again where it has signed in', async () => {
    const env = await gitlab()
    for (let step = 0; step < 2; step++) {
      expect((await home.run(['login', '--workload'], env)).code).toBe(0)
    }
    expect((await home.run(PRINT, env)).code).toBe(0)
    expect(await sessions()).toEqual(['session.opened', 'session.renewed'])
  })

  test('may be in another variable, or in a file', async () => {
    const { JIT_ID_TOKEN: token } = await gitlab()
    const named = { JIT_WORKLOAD: 'env:OTHER_TOKEN', OTHER_TOKEN: token }
    expect((await home.run(PRINT, named)).code).toBe(0)
    const file = join(home.directory, 'token')
    writeFileSync(file, `${await issuers.kubernetes.token({}, { now: now() })}\n`)
    expect((await home.run(PRINT, { JIT_WORKLOAD: `file:${file}` })).code).toBe(0)
    const missing = await home.run(PRINT, { JIT_WORKLOAD: `file:${file}.not` })
    expect(missing.stderr).toMatch(/can't be read \(ENOENT\)/)
  })

  test('made for somebody else is not shown to the broker', async () => {
    const run = await home.run(PRINT, await gitlab({ aud: 'https://vault.acme.dev' }))
    expect(run).toMatchObject({ code: 125 })
    expect(run.stderr).toContain(`is made for 'https://vault.acme.dev', not for '${AUDIENCE}'`)
    expect(await sessions()).toEqual([])
  })
})
