import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeGitHub } from './fake-github.ts'
import { Harness, request } from './harness.ts'

const POLICIES = `
@id("everyone") permit (principal, action, resource);
@id("needs-oncall") forbid (principal, action, resource)
when { resource.tier == "production" } unless { context.approvals.contains(Group::"oncall") };
@id("oncall-approves") permit (principal in Group::"oncall", action == Action::"approve", resource);
`
const [HEAD, STRAY] = ['b'.repeat(40), 'c'.repeat(40)]

let github: FakeGitHub
let harness: Harness

beforeEach(async () => {
  github = await FakeGitHub.start()
  github.branches.set('main', { commits: [HEAD], protected: true })
  const limits = `forge: { type: github, url: '${github.url}', token: env:SECRET }`
  harness = await Harness.start({ policies: POLICIES, limits })
})
afterEach(async () => {
  await harness[Symbol.asyncDispose]()
  await github[Symbol.asyncDispose]()
})

/** What an approver is told about a request from a commit. */
async function shown(commit: string) {
  const dev = await harness.client({ sub: 'dev', preferred_username: 'dev', groups: [] })
  const dana = await harness.client({ sub: 'dana', preferred_username: 'dana', groups: ['oncall'] })
  const line = await dev.connect()
  const claimed = { repository: 'github.com/acme/shop', branch: 'main', commit, dirty: false }
  const details = request({ environment: 'prod', targets: ['vault'], reason: 'r', claimed })
  line.send({ type: 'request', key: crypto.randomUUID(), details })
  const { grant } = await line.next('pending')
  return (await dana.call('GET', `/v1/approvals/${grant}`)).body
}

test('an approver is told what the forge says of the commit that is claimed', async () => {
  expect((await shown(HEAD)).forge).toEqual({ commit_on_branch: true, branch_protected: true })
  expect((await shown(STRAY)).forge).toMatchObject({ commit_on_branch: false })
})

test('the word of the forge is beside what is approved, not part of it', async () => {
  const { subject } = await shown(HEAD)
  expect(JSON.stringify(subject)).not.toContain('commit_on_branch')
})

test('a request that names no commit is asked about nowhere', async () => {
  expect(await shown('')).not.toHaveProperty('forge')
  expect(github.requests).toEqual([])
})
