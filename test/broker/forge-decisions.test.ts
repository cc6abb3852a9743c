import { afterEach, beforeEach, expect, test } from 'vitest'
import { FakeGitHub } from './fake-github.ts'
import { Harness, type TestClient } from './harness.ts'

const POLICIES = `
@id("released-commits") permit (principal is Human, action, resource)
when { context.claimed.commitOnBranch && context.claimed.branchProtected
       && context.claimed.branch == "main" && context.repository == "" };
`
const [HEAD, STRAY] = ['b'.repeat(40), 'c'.repeat(40)]

let github: FakeGitHub
let harness: Harness
let person: TestClient

beforeEach(async () => {
  github = await FakeGitHub.start()
  github.branches.set('main', { commits: [HEAD], protected: true })
  const limits = `forge: { type: github, url: '${github.url}', token: env:SECRET }`
  harness = await Harness.start({ policies: POLICIES, limits })
  person = await harness.client()
})

afterEach(async () => {
  await harness[Symbol.asyncDispose]()
  await github[Symbol.asyncDispose]()
})

const deploy = (commit: string) =>
  person.grant({
    claimed: { repository: 'github.com/acme/shop', branch: 'main', commit, dirty: false },
  })

test('a policy may ask for a commit that the forge knows on a protected branch', async () => {
  const { line } = await deploy(HEAD)
  line.cut()
  await expect(deploy(STRAY)).rejects.toThrow(/denied/)
})

test('a forge that cannot be asked verifies nothing', async () => {
  github.answer = (_, response) => response.writeHead(503).end()
  await expect(deploy(HEAD)).rejects.toThrow(/denied/)
})

test('the token of the forge is in no log and no answer', async () => {
  github.answer = (_, response) => response.writeHead(401).end()
  await expect(deploy(HEAD)).rejects.toThrow(/^(?!.*introspection-secret)/)
  expect(github.requests[0]?.authorization).toBe('Bearer introspection-secret')
  expect(harness.log.join('\n')).toContain('could not verify')
  expect(harness.log.join('\n')).not.toContain('introspection-secret')
})
