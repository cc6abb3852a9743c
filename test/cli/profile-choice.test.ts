import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AskOptions } from '../../src/cli/ask-flags.ts'
import { grantRequest } from '../../src/cli/elevation-request.ts'
import { findProfileFile } from '../../src/context/profile.ts'
import { trust } from '../../src/context/trust.ts'
import { FakeBroker } from '../run/fake-broker.ts'
import { AtWork, serveAskable } from './at-work.ts'

const PROFILES = `version: 1
profiles:
  deploy: { environment: prod, task: deploy, targets: [shop-db], commands: [sh apply *, make ship] }
  plan: { environment: dev, task: deploy, ttl: 5m, commands: [sh plan *] }
  look: { environment: dev, task: deploy, commands: ['sh * look'] }
  other: { environment: nowhere, task: deploy, commands: [sh other] }
`
const CHOICE = { verb: 'jit exec', tried: false, quiet: false }

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

async function inTrustedRepository(answers?: readonly unknown[]): Promise<void> {
  person = await AtWork.at(broker, answers ? { answers } : {})
  person.write('.jit.yaml', PROFILES)
  const file = await findProfileFile({ directory: person.home.directory, root: undefined })
  if (file) await trust(file, person.deps.paths)
}

const ask = async (command: string, options: Partial<AskOptions> = {}, choice = CHOICE) => {
  const asked = { command: command.split(' '), ...options }
  return (await grantRequest(asked, person.deps, choice)).details
}

describe('without a name, the profile', () => {
  test('is the one whose commands fit; flags come before it', async () => {
    await inTrustedRepository()
    expect(await ask('sh plan -x')).toMatchObject({ environment: 'dev', ttl: 300 })
    expect(person.notes).toEqual(['  profile plan, by its commands'])
    expect(await ask('sh plan', { ttl: '1m', reason: 'r' })).toMatchObject({ ttl: 60, reason: 'r' })
  })

  test('is not looked for where a flag says what to ask for', async () => {
    await inTrustedRepository()
    const details = await ask('sh plan', { env: 'test', task: 'look' })
    expect(details).toMatchObject({ environment: 'test', task: 'look', targets: [] })
    await expect(ask('sh plan', { env: 'test' })).rejects.toMatchObject({
      message: '--task is missing',
    })
    await expect(ask('sh plan', { task: 'test' })).rejects.toMatchObject({
      message: '--env is missing',
    })
  })

  test('is asked for where several fit', async () => {
    await inTrustedRepository(['look'])
    expect(await ask('sh plan look')).not.toHaveProperty('ttl')
    expect(person.questions[0]?.choices).toEqual([
      "plan: dev · deploy · every target of the task · 5m · for 'sh plan *'",
      "look: dev · deploy · every target of the task · for 'sh * look'",
    ])
  })

  test('has to be named where several fit and nobody can be asked', async () => {
    await inTrustedRepository()
    await expect(ask('sh plan look')).rejects.toMatchObject({
      code: 'usage',
      message: 'several profiles are for this command: plan, look',
      hint: 'name one: jit exec plan -- sh plan look',
    })
  })

  test('where none fits there is the error of ever, with those that there are', async () => {
    await inTrustedRepository()
    await expect(ask('sh -c x')).rejects.toMatchObject({
      code: 'usage',
      message: '--env is missing',
      hint: expect.stringContaining('deploy, plan, look, other; none has commands: for this'),
    })
  })

  test('of a file that is not trusted counts for nothing', async () => {
    person = await AtWork.at(broker)
    person.write('.jit.yaml', PROFILES)
    await expect(ask('sh plan')).rejects.toMatchObject({
      message: '--env is missing',
      hint: expect.stringContaining(`${join('.jit.yaml')} is not trusted as it is now`),
    })
    expect(broker.calls).toEqual([])
  })

  test('needs a file, which jit init writes', async () => {
    person = await AtWork.at(broker)
    const hint = expect.stringContaining('jit init')
    await expect(ask('sh plan')).rejects.toMatchObject({ message: '--env is missing', hint })
  })
})

describe('in production nothing is guessed:', () => {
  test('the profile is shown and confirmed before anything is asked of approvers', async () => {
    await inTrustedRepository([true])
    expect(await ask('sh apply')).toMatchObject({ environment: 'prod', targets: ['shop-db'] })
    expect(person.questions.map(({ message }) => message)).toEqual([
      "ask for production, by profile deploy (prod · deploy · shop-db · for 'sh apply *', 'make ship')?",
    ])
    expect(broker.calls.map(({ route }) => route.split('?')[0])).toEqual(['GET /v1/askable'])
  })

  test('without a yes nothing is asked for', async () => {
    await inTrustedRepository([false])
    await expect(ask('sh apply')).rejects.toMatchObject({ code: 'cancelled' })
  })

  test('without a terminal the profile has to be named', async () => {
    await inTrustedRepository()
    await expect(ask('sh apply')).rejects.toMatchObject({
      code: 'usage',
      hint: 'name it: jit exec deploy -- sh apply',
    })
    expect(await ask('sh apply', { profile: 'deploy' })).toMatchObject({ environment: 'prod' })
  })

  test('an environment that the broker does not know counts as production', async () => {
    await inTrustedRepository()
    await expect(ask('sh other')).rejects.toMatchObject({
      message: expect.stringContaining("nowhere, which the broker doesn't know"),
    })
  })

  test('a dry run asks for nothing, so it needs no yes', async () => {
    await inTrustedRepository()
    const details = await ask('sh apply', {}, { ...CHOICE, tried: true })
    expect(details).toMatchObject({ environment: 'prod' })
    expect(broker.calls).toEqual([])
  })
})
