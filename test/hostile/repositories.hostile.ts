import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { escapeForDisplay } from '../../src/lib/escape.ts'
import { hookScript } from '../../src/shell/hook.ts'
import { absent } from '../absent.ts'
import { FakeBroker } from '../run/fake-broker.ts'
import { Home } from '../run/home.ts'
import { trace } from './trace.ts'
import { link, ordinary, putPrograms, type Trick } from './trick.ts'
import { LINKS } from './tricks/links.ts'
import { ODDITIES } from './tricks/oddities.ts'
import { PROGRAMS } from './tricks/programs.ts'
import { BEFORE, type Visit, visit } from './visit.ts'

const TRICKS = [...PROGRAMS, ...LINKS, ...ODDITIES]
const HOOK = hookScript('bash', { prompt: true })
/** Of all commands in a repository together: seconds, a multiple of what they take anywhere. */
const MAX_COMPUTING = 10
/** What anybody's command may write at most: characters. */
const MAX_OUTPUT = 64 * 1024

let broker: FakeBroker
let home: Home
beforeAll(async () => {
  broker = await FakeBroker.start()
  broker.behaviour.http = ({ route }) => answerTo(route)
  home = new Home()
  await home.signIn(broker.url)
})
afterAll(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

function answerTo(route: string): { body: unknown } | undefined {
  const who = { kind: 'human', id: 'idp/1', name: 'dev', groups: [] }
  const BODIES: Record<string, unknown> = {
    'GET /v1/whoami': { principal: who, broker: broker.url, session_expires_at: SOON },
    'GET /v1/grants': { grants: [] },
    'GET /v1/sandboxes': { sandboxes: [] },
    'GET /v1/approvals': { requests: [], unacknowledged: [] },
    'POST /v1/policy/explain': FORETOLD,
  }
  const body = BODIES[route.split('?')[0] ?? '']
  return body === undefined ? undefined : { body }
}

const SOON = new Date(Date.now() + 3_600_000).toISOString()
const FORETOLD = {
  ...{ environment: 'dev', tier: 'development', task: 'deploy', ttl: 900, targets: [] },
  today: { version: 'ab'.repeat(32), decision: 'permit', answers: [] },
}

/** Of what `jit` runs itself: Node, the shells that this test starts, and the command that was asked for. */
const RUN = [process.execPath, '/bin/sh', '/bin/bash', '/usr/bin/true', '/bin/true']

function isHarmless(visited: Visit, trick: Trick): void {
  const { place, traced, output, codes, changed, canary, computed } = visited
  const isInside = (folder: string) => (path: string) => `${path}/`.startsWith(`${folder}/`)
  const forbidden = trick.forbidden ?? []
  expect(traced.ended, 'it ends').toBe(true)
  expect(canary, 'the canary').toBe(false)
  expect(computed, 'seconds of computing').toBeLessThan(MAX_COMPUTING)
  expect(traced.executed.filter((path) => !RUN.includes(path))).toEqual([])
  expect(traced.opened.filter(isInside(place.outside))).toEqual([])
  expect(traced.opened.filter((path) => forbidden.some((end) => path.endsWith(end)))).toEqual([])
  expect(traced.written.filter(isInside(place.root))).toEqual([])
  expect(changed).toEqual([])
  expect(traced.connected.filter((address) => !isExpected(address))).toEqual([])
  expect(output.length).toBeLessThan(MAX_OUTPUT)
  const plain = output.replaceAll(/[\n\t]/g, '')
  expect(plain).toBe(escapeForDisplay(plain))
  expect(output).not.toMatch(/LOOT|hunter2|internal error|\n\s+at /)
  expect(codes.length).toBeGreaterThanOrEqual(BEFORE.length)
}

/** The broker; and where the C library looks names up. */
const isExpected = (address: string) =>
  address.includes(`htons(${broker.port})`) || address.includes('/nscd/socket')

describe.skipIf(absent('strace', 'bash', 'python3'))('a repository with', () => {
  test.concurrent.each(TRICKS.map((trick) => [trick.name, trick] as const))(
    '%s has nothing executed or followed',
    async (_, trick) => {
      const seen = await visit(trick, home, HOOK)
      isHarmless(seen, trick)
      if (trick.trustable) expect(seen.codes.slice(-3)).toEqual([0, 0, 0])
    },
  )

  test('nothing odd is read as such, and what follows and executes is seen', async () => {
    const plain = { name: 'nothing odd', build: ordinary }
    const { place, traced } = await visit(plain, home, HOOK)
    expect(traced.opened).toContain(join(place.root, '.git/HEAD'))
    expect(traced.executed.filter((path) => path === process.execPath)).toHaveLength(BEFORE.length)
    link(place, 'link', join(place.outside, 'loot'))
    putPrograms(place, ['evil.sh'])
    const caught = await trace(['/bin/sh', '-c', 'cat link; >made; ./evil.sh'], {
      ...{ folder: join(place.root, '../caught'), cwd: place.root, timeout: 60_000 },
      env: { PATH: '/usr/bin:/bin' },
    })
    expect(caught.opened).toContain(join(place.outside, 'loot'))
    expect(caught.written).toContain(join(place.root, 'made'))
    expect(caught.executed).toContain('./evil.sh')
    expect(existsSync(place.canary)).toBe(true)
  })

  test('at least fifty tricks, each by a name of its own', () => {
    const names = new Set(TRICKS.map(({ name }) => name))
    expect(names.size).toBe(TRICKS.length)
    expect(names.size).toBeGreaterThanOrEqual(50)
  })
})
