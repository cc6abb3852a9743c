import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ClientMessage } from '../../src/protocol/lifeline.ts'
import { git } from '../context/repositories.ts'
import { credential, FakeBroker, type FakeLine, problem } from './fake-broker.ts'
import { ended, Home } from './home.ts'

const ASK = ['exec', '--env', 'dev', '--task', 'deploy']
const RENEWABLE = { ...credential({ SHOP: 'x' }), renewable: true }
let broker: FakeBroker
let home: Home

beforeEach(async () => {
  broker = await FakeBroker.start()
  broker.behaviour.credentials = [RENEWABLE]
  home = new Home()
  await home.signIn(broker.url)
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

/** Answers `renew` so. */
function onRenew(answer: (line: FakeLine, attempt: number) => void): void {
  let attempts = 0
  broker.behaviour.answer = (message: ClientMessage, line) => {
    if (message.type !== 'renew') return false
    answer(line, ++attempts)
    return true
  }
}

const until = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()
const renewed = (seconds: number) => (line: FakeLine) =>
  line.send({ type: 'renewed', grant: broker.grant, expires_at: until(seconds) })

describe('a command that outlasts its grant', () => {
  test('asks for more time from two thirds of it on, and runs to its own end', async () => {
    broker.behaviour.ttl = 3
    onRenew(renewed(60))
    const started = performance.now()
    const result = await home.run([...ASK, '--', 'sh', '-c', 'sleep 4; echo finished'])
    expect(result).toMatchObject({ code: 0, stdout: 'finished\n' })
    expect(performance.now() - started).toBeGreaterThan(4000)
    expect(broker.received.filter(({ type }) => type === 'renew')).toHaveLength(1)
    expect(result.stderr).not.toMatch(/warning|can't be renewed/)
  })

  test("the prompt's line tells the new deadline", async () => {
    broker.behaviour.ttl = 2
    onRenew(renewed(3600))
    const jit = home.start([...ASK, '--', 'cat'])
    await broker.waitFor('renew')
    const folder = join(home.directory, 'run', 'jit', 'grants')
    const line = () => readFileSync(join(folder, broker.grant), 'utf8')
    await expect.poll(() => Number(line().split(' ')[0]) - Date.now() / 1000).toBeGreaterThan(3000)
    jit.stdin?.end()
    await ended(jit)
    expect(readdirSync(folder)).toEqual([])
  })

  test('a refusal is told with the time left, and the command is stopped at its deadline', async () => {
    broker.behaviour.ttl = 4
    const denied = problem('denied', 403, 'policy does not permit it any more')
    onRenew((line) => line.send({ type: 'problem', problem: denied }))
    const result = await home.run([...ASK, '--quiet', '--', 'sleep', '60'])
    expect(result.signal).toBe('SIGTERM')
    expect(result.stderr).toMatch(
      /^jit: warning: not renewed \(policy does not permit it any more\): the command is stopped in 1s, at \d\d:\d\d$/m,
    )
    expect(result.stderr).toContain("the grant's time is over: stopping the command")
    expect(broker.received.filter(({ type }) => type === 'renew')).toHaveLength(1)
  })

  test('a target that is out of reach is asked again, calmly', async () => {
    broker.behaviour.ttl = 6
    onRenew((line, attempt) => {
      const away = problem('target_unreachable', 502, 'shop-db is out of reach')
      if (attempt === 1) line.send({ type: 'problem', problem: away })
      else renewed(60)(line)
    })
    const result = await home.run([...ASK, '--', 'sleep', '7'])
    expect(result).toMatchObject({ code: 0 })
    expect(result.stderr).not.toContain('not renewed')
  })

  test('what was renewed while its connection broke is learned by the resume', async () => {
    broker.behaviour.ttl = 3
    onRenew(() => {
      // Moved, but the answer is lost.
      broker.behaviour.ttl = 60
      broker.cut()
    })
    const result = await home.run([...ASK, '--', 'sleep', '4'])
    expect(result).toMatchObject({ code: 0 })
    expect(broker.received.filter(({ type }) => type === 'renew')).toHaveLength(1)
  })
})

test('a renewal that fails while the command ends takes nothing from its receipt', async () => {
  broker.behaviour.ttl = 3
  broker.behaviour.answer = (message, line) => {
    const away = problem('target_unreachable', 502, 'shop-db is out of reach')
    if (message.type === 'release') line.send({ type: 'problem', problem: away })
    return message.type === 'renew'
  }
  const result = await home.run([...ASK, '--', 'sleep', '2.5'])
  expect(result).toMatchObject({ code: 0 })
  expect(result.stderr).toMatch(/✓ revoked shop-db/)
})

describe('a command whose credentials no renewal reaches', () => {
  beforeEach(() => {
    const fixed = { ...RENEWABLE, target: 'shop-api', renewable: false }
    broker.behaviour.credentials = [RENEWABLE, fixed]
  })

  test('is told so before it starts, warned before the end, and nothing is asked', async () => {
    broker.behaviour.ttl = 11
    const jit = home.start([...ASK, '--', 'sh', '-c', 'echo started >&2; exec sleep 60'])
    const result = await ended(jit)
    expect(result.stderr).toMatch(/shop-api can't be renewed: this ends at \d\d:\d\d\nstarted\n/)
    expect(result.stderr).toMatch(/^jit: warning: the command is stopped in 1s, at \d\d:\d\d$/m)
    expect(result.stderr).not.toContain('shop-db can')
    expect(broker.received.map(({ type }) => type)).toEqual(['request', 'received', 'release'])
  })

  test('--quiet says nothing of it', async () => {
    const { stderr } = await home.run([...ASK, '--quiet', '--', 'true'])
    expect(stderr).toBe('')
  })
})

describe('where the command stands', () => {
  beforeEach(() => {
    git(home.directory, 'init', '-q', '-b', 'main')
    git(home.directory, 'commit', '-q', '--allow-empty', '-m', 'first')
  })

  test('a switch of branch while it runs is told to the broker', async () => {
    const jit = home.start([...ASK, '--', 'cat'])
    await broker.waitFor('received')
    git(home.directory, 'switch', '-q', '-c', 'feature/x')
    const { claimed, grant } = await broker.waitFor('context')
    expect(grant).toBe(broker.grant)
    expect(claimed).toMatchObject({ branch: 'feature/x' })
    jit.stdin?.end()
    expect(await ended(jit)).toMatchObject({ code: 0 })
  })

  test('it is told again after a connection was lost: it may not have arrived', async () => {
    const jit = home.start([...ASK, '--', 'cat'])
    await broker.waitFor('received')
    git(home.directory, 'switch', '-q', '-c', 'feature/x')
    await broker.waitFor('context')
    broker.cut()
    await broker.waitFor('resume')
    expect((await broker.waitFor('context', 2)).claimed.branch).toBe('feature/x')
    jit.stdin?.end()
    expect(await ended(jit)).toMatchObject({ code: 0 })
  })

  test('a command that ends at once is held up by no watch', async () => {
    const result = await home.run([...ASK, '--', 'git', 'switch', '-q', '-c', 'gone'])
    expect(result).toMatchObject({ code: 0 })
    expect(existsSync(join(home.directory, '.git', 'refs', 'heads'))).toBe(true)
  })
})
