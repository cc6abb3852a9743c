import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readSession, writeSession } from '../../src/auth/session.ts'
import { openKeystore } from '../../src/keystore/open.ts'
import { formatMarkerLine } from '../../src/lib/marker-line.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import type { Askable } from '../../src/protocol/askable.ts'
import { FakeBroker } from '../run/fake-broker.ts'
import { Home } from '../run/home.ts'

const ttl = { default: 900, max: 3600 }
const target = (name: string) => ({ name, type: 'postgres', answer: 'permit', ttl }) as const
const ASKABLE: Askable = {
  version: '1',
  environments: [
    {
      name: 'dev',
      tier: 'development',
      tasks: [{ name: 'plan', answer: 'permit', targets: [target('dev-db')] }],
    },
    {
      name: 'prod',
      tier: 'production',
      tasks: [
        { name: 'plan', answer: 'permit', targets: [target('prod-db')] },
        { name: 'deploy', answer: 'approval', targets: [target('prod-db')] },
      ],
    },
  ],
  labels: { model: 'string' },
}

const SECRET = 'token=hunter2hunter2'

function grant(id: string, reason: string, state = 'active') {
  return {
    id,
    state,
    principal: { kind: 'human', id: 'idp/1', name: 'dev', groups: [] },
    environment: 'prod',
    tier: 'production',
    task: 'deploy',
    context: {
      ...{ repository: '', branch: '', commit: '', reason: '', ticket: '', labels: {} },
      claimed: { repository: '', branch: '', commit: '', dirty: false },
      command: { argv: ['deploy', SECRET, reason], directory: '/', executable: '/bin/deploy' },
    },
    requested_at: new Date().toISOString(),
    expires_at: new Date(Date.now() + 600_500).toISOString(),
    leases: [],
  }
}

let home: Home
let broker: FakeBroker
beforeEach(async () => {
  home = new Home()
  broker = await FakeBroker.start()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

async function completed(...words: string[]): Promise<string[][]> {
  const { code, stdout, stderr } = await home.run(['__complete', ...words])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t'))
}

/** Where the machine is busy the answer comes after the shell has stopped waiting for it: Tab once more. */
async function answered(...words: string[]): Promise<string[][]> {
  let lines: string[][] = []
  const look = async () => {
    lines = await completed(...words)
    return lines.length
  }
  await expect.poll(look, { timeout: 30_000 }).toBeGreaterThan(0)
  return lines
}

/** The files of what was answered. */
function kept(): string[] {
  const folder = join(home.directory, '.cache/jit/askable')
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
}

const asked = () => broker.calls.filter(({ route }) => route.startsWith('GET /v1/askable'))

test('what may be asked for is asked once, kept closed, and narrowed by what was typed', async () => {
  broker.behaviour.http = () => ({ body: ASKABLE })
  expect(await answered('environments', 'exec', '--env')).toEqual([
    ['dev', 'development: plan'],
    ['prod', 'production: plan, deploy'],
  ])
  const times = asked().length
  expect(await completed('tasks', 'exec', '--env=prod', '--task')).toEqual([
    ['plan', 'prod: at once'],
    ['deploy', 'prod: needs approval'],
  ])
  expect(await completed('targets', 'exec', '--task', 'deploy')).toEqual([
    ['prod-db', 'prod: postgres'],
  ])
  expect(await completed('labels')).toEqual([['model=', 'string']])
  expect(asked()).toHaveLength(times)
  for (const path of kept()) expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('a broker that is slow isn’t waited for, and has answered by the next Tab', async () => {
  const slow = Promise.withResolvers<void>()
  broker.behaviour.http = async () => {
    await slow.promise
    return { body: ASKABLE }
  }
  expect(await completed('environments')).toEqual([])
  expect(kept()).toEqual([])
  slow.resolve()
  await expect.poll(kept).toHaveLength(1)
  const times = asked().length
  expect(await answered('environments')).toHaveLength(2)
  expect(asked()).toHaveLength(times)
})

test('grants have descriptions on one line, whatever they say, and nothing of them is kept', async () => {
  const grants = [
    grant('g_1', 'a\nb\u001b[31m$(touch x)'),
    grant('g_2', '', 'pending'),
    grant('g_3', '', 'revoked'),
    grant('$(touch pwned)', ''),
    grant('--all', ''),
  ]
  broker.behaviour.http = () => ({ body: { grants } })
  const [first, second, ...others] = await answered('grants', 'show')
  expect(first?.[0]).toBe('g_1')
  expect(first?.[1]).toMatch(/^deploy in prod, 10m left, deploy token=hunter2hunter2 /)
  expect(first?.join()).not.toMatch(/\p{Cc}/u)
  expect(second?.slice(0, 1)).toEqual(['g_2'])
  expect(others).toEqual([])
  expect((await answered('requests')).map(([id]) => id)).toEqual(['g_2'])
  const files = readdirSync(home.directory, { recursive: true, encoding: 'utf8' })
  for (const file of files.map((name) => join(home.directory, name))) {
    if (statSync(file).isFile()) expect(readFileSync(file).includes(SECRET), file).toBe(false)
  }
})

test('without a broker, grants of this machine are known all the same', async () => {
  await broker.stop()
  const folder = join(home.directory, 'run/jit/grants')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const line = { environment: 'prod', tier: 'production', task: 'deploy', agent: undefined }
  const holder = { pid: process.pid, started: undefined }
  const now = Math.floor(Date.now() / 1000)
  writeFileSync(join(folder, 'g_here'), formatMarkerLine({ ...line, holder, expires: now + 600 }))
  writeFileSync(join(folder, 'g_over'), formatMarkerLine({ ...line, holder, expires: now - 1 }))
  const [here, ...others] = await completed('grants')
  expect(here?.[0]).toBe('g_here')
  expect(here?.[1]).toMatch(/^deploy in prod, (10m|9m 5\ds) left$/)
  expect(others).toEqual([])
})

test('a session that would have to be renewed is left as it is', async () => {
  const keystore = await openKeystore({ env: home.env, paths: pathsFrom(home.env) })
  const session = await readSession(keystore, { broker: broker.url })
  if (!session) throw new Error('not signed in')
  const old = { ...session, refresh_token: 'once', access_token_expires_at: Date.now() - 1 }
  await writeSession(keystore, old)
  expect(await completed('grants')).toEqual([])
  expect(broker.calls).toEqual([])
  expect(await readSession(keystore, { broker: broker.url })).toEqual(old)
})

test('profiles are those of the .jit.yaml here, whether it is trusted or not', async () => {
  const file = join(home.directory, '.jit.yaml')
  writeFileSync(file, 'version: 1\nprofiles:\n  ship: { environment: prod, task: deploy }\n')
  expect(await completed('profiles', 'exec')).toEqual([['ship', 'deploy in prod']])
  writeFileSync(file, 'version: 1\nprofiles: [')
  expect(await completed('profiles', 'exec')).toEqual([])
})

test('what nobody knows of is no error either', async () => {
  for (const words of [[], ['passwords'], ['grants', '--json', '--help']]) {
    expect(await completed(...words)).toEqual([])
  }
})

test.each([
  ['bash', 'jit.bash'],
  ['zsh', '_jit'],
  ['fish', 'jit.fish'],
  ['pwsh', 'jit.ps1'],
])('jit completion %s prints completions/%s', async (shell, file) => {
  const { code, stdout } = await home.run(['completion', shell])
  const text = readFileSync(join(import.meta.dirname, '../../completions', file), 'utf8')
  expect({ code, same: stdout === text }).toEqual({ code: 0, same: true })
})
