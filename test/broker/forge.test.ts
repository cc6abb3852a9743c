import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createForge, type Forge } from '../../src/broker/forge.ts'
import { JitError } from '../../src/lib/errors.ts'
import { FakeGitHub } from './fake-github.ts'

const [OLD, HEAD, STRAY] = ['a', 'b', 'c'].map((digit) => digit.repeat(40)) as [
  string,
  string,
  string,
]
const TOKEN = 'ghs_canary'
const UNVERIFIED = { commitOnBranch: false, branchProtected: false }

let github: FakeGitHub
let forge: Forge
let log: string[]

beforeEach(async () => {
  github = await FakeGitHub.start()
  github.branches.set('main', { commits: [OLD, HEAD], protected: true })
  github.branches.set('feat/a+b#1', { commits: [STRAY], protected: false })
  log = []
  forge = start()
})

afterEach(() => github[Symbol.asyncDispose]())

function start(options: { timeout?: number; url?: string } = {}): Forge {
  const record = (message: string, detail?: object) =>
    void log.push(`${message} ${JSON.stringify(detail)}`)
  return createForge(
    {
      type: 'github',
      url: options.url ?? github.url,
      token: 'env:FORGE_TOKEN',
      hosts: ['github.com'],
      timeout: options.timeout ?? 2,
    },
    {
      fetch,
      resolveReference: (reference) => {
        if (reference === 'env:FORGE_TOKEN') return TOKEN
        throw new JitError('config_invalid', reference)
      },
      log: { debug: record, info: record, warn: record, error: record },
    },
  )
}

const claim = (branch: string, commit: string, repository = 'github.com/acme/shop') => ({
  repository,
  branch,
  commit,
})

describe('a commit', () => {
  test('at the head of its branch, or before it, is on it', async () => {
    const there = { commitOnBranch: true, branchProtected: true }
    expect(await forge.check(claim('main', HEAD))).toEqual(there)
    expect(await forge.check(claim('main', OLD))).toEqual(there)
  })

  test('of another branch is not, and a branch may be unprotected', async () => {
    expect(await forge.check(claim('main', STRAY))).toEqual({
      commitOnBranch: false,
      branchProtected: true,
    })
    expect(await forge.check(claim('feat/a+b#1', STRAY))).toEqual({
      commitOnBranch: true,
      branchProtected: false,
    })
  })

  test('is compared with the commit at the head, so that a tag of the name can not stand in', async () => {
    await forge.check(claim('main', OLD))
    expect(github.requests.map(({ path }) => path)).toEqual([
      '/repos/acme/shop/branches/main',
      `/repos/acme/shop/compare/${HEAD}...${OLD}`,
    ])
    expect(github.requests[0]?.authorization).toBe(`Bearer ${TOKEN}`)
  })
})

test.each([
  ['at another host', claim('main', HEAD, 'gitlab.com/acme/shop')],
  ['of three parts', claim('main', HEAD, 'github.com/acme/shop/x')],
  ['that climbs', claim('main', HEAD, 'github.com/acme/..')],
  ['with a query', claim('main', HEAD, 'github.com/acme/shop?x')],
  ['none', claim('main', HEAD, '')],
  ["another owner's branch", claim('mallory:main', HEAD)],
  ['a branch that climbs', claim('../../../user', HEAD)],
  ['a range for a branch', claim('main...x', HEAD)],
  ['a hidden branch', claim('a/.b', HEAD)],
  ['a control character', claim('ma\nin', HEAD)],
  ['an option', claim('--upload-pack', HEAD)],
  ['no branch', claim('', HEAD)],
  ['a short commit', claim('main', 'bbbbbbb')],
  ['a name for a commit', claim('main', 'HEAD')],
])('what is not well-formed is unverified without asking: %s', async (_, claimed) => {
  expect(await forge.check(claimed)).toEqual(UNVERIFIED)
  expect(github.requests).toEqual([])
})

describe('unverified, not verified, is what a forge that', () => {
  test.each<[string, FakeGitHub['answer']]>([
    ['knows nothing of it', (_, response) => response.writeHead(404).end('{}')],
    ['limits the rate', (_, response) => response.writeHead(403).end('{"message":"rate limit"}')],
    ['fails', (_, response) => response.writeHead(502).end()],
    ['is not JSON', (_, response) => response.end('<html>')],
    ['says something else', (_, response) => response.end('{"name":"main","protected":"yes"}')],
    [
      'answers for another branch',
      (_, response) =>
        response.end(JSON.stringify({ name: 'Main', protected: true, commit: { sha: HEAD } })),
    ],
    ['never ends', (_, response) => response.end(' '.repeat(2 * 1024 * 1024))],
    ['hangs up', (request) => request.socket.destroy()],
  ])('%s makes a claim', async (_, answer) => {
    github.answer = answer
    expect(await forge.check(claim('main', HEAD))).toEqual(UNVERIFIED)
    expect(log.join()).toContain('could not verify')
    expect(log.join()).not.toContain(TOKEN)
  })

  test('nobody reaches makes a claim', async () => {
    const { url } = github
    await github[Symbol.asyncDispose]()
    expect(await start({ url }).check(claim('main', HEAD))).toEqual(UNVERIFIED)
    github = await FakeGitHub.start()
  })

  test('is slow makes a claim, in the time that is given to it', async () => {
    github.answer = () => {}
    const before = performance.now()
    expect(await start({ timeout: 1 }).check(claim('main', HEAD))).toEqual(UNVERIFIED)
    expect(performance.now() - before).toBeLessThan(10_000)
  })

  test('sends elsewhere makes a claim; the token is not sent after it', async () => {
    await using elsewhere = await FakeGitHub.start()
    github.answer = (_, response) =>
      response.writeHead(301, { location: `${elsewhere.url}/repos/acme/shop/branches/main` }).end()
    expect(await forge.check(claim('main', HEAD))).toEqual(UNVERIFIED)
    expect(elsewhere.requests).toEqual([])
  })
})

test('an answer is used again for a while, and asked for once by many', async () => {
  await Promise.all(Array.from({ length: 10 }, () => forge.check(claim('main', HEAD))))
  await forge.check(claim('main', HEAD))
  expect(github.requests).toHaveLength(1)
})

test('no more than eight claims are looked up at a time', async () => {
  const branches = Array.from({ length: 30 }, (_, index) => `b${index}`)
  for (const name of branches) github.branches.set(name, { commits: [HEAD], protected: false })
  const answers = await Promise.all(branches.map((name) => forge.check(claim(name, HEAD))))
  expect(answers.every(({ commitOnBranch }) => commitOnBranch)).toBe(true)
  expect(github.most).toBeLessThanOrEqual(8)
})

test('a token that leads nowhere is a mistake of the configuration', () => {
  const config = { type: 'github', url: github.url, hosts: [], timeout: 2 } as const
  const resolveReference = () => {
    throw new JitError('config_invalid', 'env:GONE: the variable is not set')
  }
  const silent = { debug() {}, info() {}, warn() {}, error() {} }
  const parts = { fetch, resolveReference, log: silent }
  expect(() => createForge({ ...config, token: 'env:GONE' }, parts)).toThrow(/env:GONE/)
})
