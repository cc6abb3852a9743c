import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RequestExplanation } from '../../src/protocol/request-explanation.ts'
import { FakeBroker } from '../run/fake-broker.ts'
import { Home, JIT } from '../run/home.ts'
import { Screen } from '../run/screen.ts'
import { serveAskable } from './at-work.ts'

const PROFILES = `version: 1
profiles:
  deploy: { environment: prod, task: deploy, commands: [echo ship *] }
  plan: { environment: dev, task: deploy, commands: [echo look *] }
`
const JIT_ON_TERMINAL = [process.execPath, JIT]

let broker: FakeBroker
let home: Home
beforeEach(async () => {
  broker = await FakeBroker.start()
  serveAskable(broker)
  home = new Home()
})
afterEach(async () => {
  home[Symbol.dispose]()
  await broker.stop()
})

const file = () => join(home.directory, '.jit.yaml')
const asked = () => broker.received.filter(({ type }) => type === 'request').length

describe('the first five minutes', () => {
  test('jit login asks for the one thing it needs, until it is an address', async () => {
    const screen = new Screen(home, [...JIT_ON_TERMINAL, 'login'])
    await screen.shows('the address of your broker')
    screen.type('ftp://nowhere\r')
    await screen.shows('is not the address of a broker')
    screen.type(`\x15${broker.url}\r`)
    // The fake has no provider to sign in at: it was found and asked.
    expect((await screen.ended).exitCode).not.toBe(0)
    expect(broker.calls.map(({ route }) => route)).toContain(
      'GET /.well-known/oauth-protected-resource',
    )
    const { code, stderr } = await home.run(['login'])
    expect({ code, stderr }).toMatchObject({ code: 2 })
    expect(stderr).toContain('no broker is named')
  })

  test('jit init asks a few questions, and the command then finds its profile', async () => {
    await home.signIn(broker.url)
    mkdirSync(join(home.directory, '.git'))
    writeFileSync(join(home.directory, '.git', 'HEAD'), 'ref: refs/heads/main\n')
    const screen = new Screen(home, [...JIT_ON_TERMINAL, 'init', '--env', 'dev'])
    for (const [question, answer] of [
      ['for how long', '5m'],
      ['for which commands', 'echo hi *'],
      ['what is it called', 'hello'],
      ['another profile', 'n'],
      ['trust', 'y'],
    ] as const) {
      await screen.shows(question)
      screen.type(`${answer}\r`)
    }
    expect((await screen.ended).exitCode).toBe(0)
    expect(readFileSync(file(), 'utf8')).toContain('commands: ["echo hi *"]')
    const { code, stdout, stderr } = await home.run(['exec', '--', 'echo', 'hi', 'there'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'hi there\n' })
    expect(stderr).toContain('profile hello, by its commands')
    expect(broker.received[0]).toMatchObject({ details: { environment: 'dev', ttl: 300 } })
  })

  test('in production a profile that was only found is confirmed, and nothing is asked before', async () => {
    await home.signIn(broker.url)
    writeFileSync(file(), PROFILES)
    expect((await home.run(['trust', '--yes'])).code).toBe(0)
    const piped = await home.run(['exec', '--', 'echo', 'ship', 'it'])
    expect(piped.code).toBe(125)
    expect(piped.stderr).toContain('name it: jit exec deploy -- echo ship it')
    const command = [...JIT_ON_TERMINAL, 'exec', '--', 'echo', 'ship', 'it']
    const no = new Screen(home, command)
    await no.shows('ask for production')
    no.type('n\r')
    await no.ended
    expect(asked()).toBe(0)
    const yes = new Screen(home, command)
    await yes.shows(/ask for production[\s\S]*\(y\/N\)/)
    yes.type('y\r')
    expect((await yes.ended).exitCode).toBe(0)
    expect(yes.text).toContain('ship it')
    expect(asked()).toBe(1)
  })
})

const FORETOLD: RequestExplanation = {
  ...{ environment: 'dev', tier: 'development', task: 'deploy', ttl: 900 },
  targets: [
    {
      ...{ name: 'dev-db', type: 'postgres', delivery: 'env', revocability: 'hard' },
      ...{ variables: ['PGHOST', 'PGPASSWORD'], unset: ['PGSERVICE', 'PGOPTIONS'] },
    },
  ],
  today: { version: 'ab'.repeat(32), decision: 'permit', answers: [] },
}

describe('a dry run', () => {
  const DRY = ['--dry-run', '--env', 'dev', '--task', 'deploy', '--reason', 'r']

  /** Runs it where the broker would decide so. */
  async function dry(words: readonly string[], decision: 'permit' | 'obligation' | 'deny') {
    const obligation = { approvals: [{ group: 'oncall', people: 1 as const }] }
    const today = {
      ...{ ...FORETOLD.today, decision },
      ...(decision === 'obligation' ? { obligation, then_permitted: ['p'] } : {}),
    }
    broker.behaviour.http = () => ({ body: { ...FORETOLD, today } })
    return home.run([...words, '--', 'touch', 'made'], { PGSERVICE: 'mine-alone' })
  }

  test.each([
    ['exec', 'permit', 0],
    ['exec', 'obligation', 6],
    ['request', 'deny', 3],
  ] as const)(
    'of jit %s on a %s ends with its code, and asks for nothing',
    async (verb, decision, code) => {
      await home.signIn(broker.url)
      const ended = await dry([verb, ...DRY], decision)
      expect(ended).toMatchObject({ code, stderr: 'nothing was asked for\n' })
      expect(broker.received).toEqual([])
      expect(broker.calls.map(({ route }) => route)).toEqual(['POST /v1/policy/explain'])
      expect(existsSync(join(home.directory, 'made'))).toBe(false)
    },
  )

  test('says what would be asked, what the command would see by name alone, and what policy answers', async () => {
    await home.signIn(broker.url)
    const { stdout } = await dry(['exec', ...DRY], 'obligation')
    expect(stdout.split('\n')).toEqual([
      'would ask  deploy in dev (development), for 15m',
      'at         dev-db: postgres · in env · hard',
      'command    touch made',
      'reason     r',
      'sets       PGHOST PGPASSWORD JIT_GRANT JIT_GRANT_EXPIRES_AT',
      'removes    PGSERVICE',
      'masks      nothing',
      '',
      'deploy in dev: waits for oncall, then permitted by p',
      'policies abababababab',
      '',
    ])
  })

  test('is one object with --json; what was asked before has none', async () => {
    await home.signIn(broker.url)
    const { stdout } = await dry(['exec', '--json', '--mask', 'always', ...DRY], 'permit')
    expect(JSON.parse(stdout)).toMatchObject({
      request: {
        environment: 'dev',
        targets: [{ name: 'dev-db', delivery: 'env' }],
        command: { argv: ['touch', 'made'] },
      },
      answer: { decision: 'permit' },
      child: {
        set: ['PGHOST', 'PGPASSWORD', 'JIT_GRANT', 'JIT_GRANT_EXPIRES_AT'],
        removed: ['PGSERVICE'],
        masked: ['stdout', 'stderr'],
      },
    })
    expect(stdout).not.toContain('mine-alone')
    const { code, stderr } = await home.run(['exec', '--dry-run', '--grant', 'g_1', '--', 'true'])
    expect({ code, stderr }).toMatchObject({ code: 125 })
    expect(stderr).toContain("--dry-run can't be given beside --grant")
  })
})
