import { existsSync, lstatSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type InitOptions, runInit } from '../../../src/cli/commands/init.ts'
import { parseProfiles } from '../../../src/context/profile.ts'
import { trustedProfile } from '../../../src/context/trust.ts'
import { FakeBroker, problem } from '../../run/fake-broker.ts'
import { AtWork, serveAskable } from '../at-work.ts'

let broker: FakeBroker
let person: AtWork
beforeEach(async () => {
  broker = await FakeBroker.start()
  serveAskable(broker)
})
afterEach(async () => {
  person[Symbol.dispose]()
  await broker.stop()
})

const file = () => join(person.home.directory, '.jit.yaml')
const init = (options: InitOptions = {}) => runInit(options, person.deps)

/** The profiles as they were written. */
async function written() {
  const { profiles } = await parseProfiles(readFileSync(file(), 'utf8'), file())
  return Object.fromEntries(profiles)
}

describe('jit init', () => {
  test('asks what no flag says, offers only what may be asked for, and trusts it after a yes', async () => {
    const answers = ['prod', 'deploy', ['shop-db'], '20m', 'terraform apply *', 'ship', false, true]
    person = await AtWork.at(broker, { answers })
    person.write('infra/main.tf')
    expect(await init()).toBe(0)
    expect(person.questions.map(({ flag }) => flag)).toEqual([
      ...['--env', '--task', '--target', '--ttl', '--command', '--name', '--yes', '--yes'],
    ])
    expect(person.questions[0]?.choices).toEqual([
      'dev (development): deploy',
      'prod (production): plan, deploy',
    ])
    expect(person.questions[1]?.choices).toEqual([
      'plan: granted at once',
      'deploy: waits for platform-oncall',
    ])
    expect(person.questions[2]?.choices).toEqual(['shop-db', 'shop-aws'])
    expect(readFileSync(file(), 'utf8')).toBe(`# What tasks in this repository ask for. \
jit exec NAME -- COMMAND asks for what NAME says here.
# Only data: it names no broker and runs nothing, and it counts for those who have looked at it
# with jit trust. More: jit help exec
version: 1
profiles:
  # deploy in prod (production): when this was written, waits for platform-oncall
  ship:
    environment: prod
    task: deploy
    # without targets: every one that has the task
    targets: [shop-db]
    # then it is renewed, as policy allows, or ends
    ttl: 20m
    # jit exec without a name finds the profile by its command; * stands for anything
    commands: ["terraform apply *"]
`)
    const { paths } = person.deps
    const directory = person.home.directory
    expect(await trustedProfile('ship', { directory, root: undefined, paths })).toBeDefined()
    expect(person.notes.at(-1)).toBe('  use it: jit exec ship -- terraform apply')
  })

  test('asks again for a name that is none, or taken, and keeps the other answers', async () => {
    const dev = ['dev', '5m', '-']
    const answers = [...dev, 'de ploy', 'ship', true, ...dev, 'ship', 'look', false, false]
    person = await AtWork.at(broker, { answers })
    expect(await init()).toBe(0)
    expect(Object.keys(await written())).toEqual(['ship', 'look'])
    expect(person.notes.slice(0, 2)).toEqual([
      "'de ploy': expected a name: a lower-case letter, then up to 62 of a-z 0-9 _ -",
      "there are two profiles called 'ship'",
    ])
  })

  test('takes flags and what is usual where nobody is asked, with suggestions as a comment', async () => {
    person = await AtWork.at(broker)
    person.write('package.json', '{"scripts":{"deploy:prod":"x","test":"y","a b":"z"}}')
    person.write('Makefile', 'VERSION := 1\ndeploy: build\n\techo\n')
    person.write('main.tf')
    await init({ env: 'prod', task: 'deploy', json: true })
    expect(await written()).toEqual({
      deploy: { environment: 'prod', task: 'deploy', targets: ['shop-db', 'shop-aws'] },
    })
    const text = readFileSync(file(), 'utf8')
    expect(text).toContain(
      '# commands: ["npm run deploy:prod", "make deploy", "terraform apply *"]',
    )
    expect(text).toContain('# ttl: 15m is what the targets have as their default')
    expect(person.out.map((line) => JSON.parse(line))).toEqual([
      { path: file(), profiles: ['deploy'], trusted: false },
    ])
    expect(await runTrusted()).toBe(false)
  })

  test('says all of it by flags, and trusts it with --yes', async () => {
    person = await AtWork.at(broker, { answers: [] })
    const command = ['make deploy', 'make d *']
    const options = { env: 'dev', task: 'deploy', ttl: '5m', name: 'ship', command, yes: true }
    await init({ ...options, target: ['dev-db'] })
    expect(await written()).toEqual({
      ship: {
        ...{ environment: 'dev', task: 'deploy', targets: ['dev-db'], ttl: 300 },
        commands: command,
      },
    })
    expect(await runTrusted()).toBe(true)
  })

  test('writes what policy denies today where a flag wants it, and says so', async () => {
    person = await AtWork.at(broker)
    await init({ env: 'secret', task: 'deploy' })
    expect(person.notes[0]).toContain('policy denies you deploy in secret today')
    expect(await written()).toMatchObject({ deploy: { targets: ['safe'] } })
  })

  test.each<[string, InitOptions, RegExp]>([
    ['which environment', {}, /--env is missing/],
    ['which task', { env: 'prod' }, /--task is missing/],
    ['an environment that there isn’t', { env: 'prd' }, /no environment 'prd'/],
    ['a task', { env: 'dev', task: 'plan' }, /no task in dev: 'plan'/],
    ['a target', { env: 'dev', task: 'deploy', target: ['x'] }, /no target .* 'x'/],
    ['more time', { env: 'dev', task: 'deploy', ttl: '2h' }, /at most 1h/],
    ['a name', { env: 'dev', task: 'deploy', name: 'Ship It' }, /expected a name/],
    ['a command', { env: 'dev', task: 'deploy', command: [' '] }, /expected words/],
  ])('refuses to guess, or to make up, %s', async (_, options, message) => {
    person = await AtWork.at(broker)
    await expect(init(options)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(message),
    })
    expect(existsSync(file())).toBe(false)
  })

  test('never touches a file that is there, but with --force', async () => {
    person = await AtWork.at(broker)
    person.write('.jit.yaml', 'mine')
    const options = { env: 'dev', task: 'deploy' }
    await expect(init(options)).rejects.toMatchObject({ code: 'usage' })
    expect(readFileSync(file(), 'utf8')).toBe('mine')
    expect(broker.calls).toEqual([])
    await init({ ...options, force: true })
    expect(await written()).toHaveProperty('deploy')
  })

  test('writes through no link', async () => {
    person = await AtWork.at(broker)
    const elsewhere = join(person.home.directory, 'elsewhere')
    symlinkSync(elsewhere, file())
    const options = { env: 'dev', task: 'deploy' }
    await expect(init(options)).rejects.toMatchObject({ code: 'usage' })
    await init({ ...options, force: true })
    expect(lstatSync(file()).isSymbolicLink()).toBe(false)
    expect(existsSync(elsewhere)).toBe(false)
  })

  test('says how to sign in where nobody is, and writes nothing', async () => {
    person = await AtWork.at(undefined, { env: { JIT_BROKER: broker.url } })
    await expect(init({ env: 'dev', task: 'deploy' })).rejects.toMatchObject({
      code: 'not_signed_in',
      hint: expect.stringContaining('jit login'),
    })
    expect(existsSync(file())).toBe(false)
  })

  test('writes nothing where nothing may be asked for, or the broker says no', async () => {
    person = await AtWork.at(broker)
    serveAskable(broker, { version: 'v', environments: [], labels: {} })
    await expect(init()).rejects.toMatchObject({ code: 'denied' })
    broker.behaviour.http = () => ({
      status: 429,
      body: problem('limit_reached', 429, 'that was asked too often'),
    })
    await expect(init()).rejects.toMatchObject({ code: 'limit_reached' })
    expect(existsSync(file())).toBe(false)
  })

  test('takes no line of a hostile broker for one of its own', async () => {
    person = await AtWork.at(broker)
    const name = 'dev\nprofiles: { x: 1 }'
    const environments = [{ name, tier: 'development', tasks: [] }]
    serveAskable(broker, { version: 'v', environments, labels: {} })
    await expect(init({ env: name })).rejects.toMatchObject({ code: 'broker_failed' })
  })
})

async function runTrusted(): Promise<boolean> {
  const { isTrusted } = await import('../../../src/context/trust.ts')
  const { findProfileFile } = await import('../../../src/context/profile.ts')
  const place = { directory: person.home.directory, root: undefined }
  const found = await findProfileFile(place)
  return found !== undefined && (await isTrusted(found, person.deps.paths))
}
