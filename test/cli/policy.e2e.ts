import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

const EXAMPLES = resolve(import.meta.dirname, '../../examples/policies')

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.dispose]())

describe('policies as code, in CI', () => {
  test('jit policy check and test say with their exit codes whether a change is as it should be', async () => {
    const folder = join(home.directory, 'policies')
    cpSync(EXAMPLES, folder, { recursive: true })
    const config = ['--config', join(folder, 'broker.yaml')]
    const check = await home.run(['policy', 'check', '--strict', ...config])
    expect(check).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+ policies valid/) })

    const file = join(folder, 'policies', 'production.cedar')
    const careless = readFileSync(file, 'utf8').replace('weekday >= 6', 'weekday > 6')
    writeFileSync(file, careless)
    const after = await home.run(['policy', 'test', ...config])
    expect(after.code).toBe(1)
    expect(after.stdout).toMatch(
      /production\.cases\.yaml:\d+: on a Saturday security has to approve as well: expected obligation \(/,
    )
  })
})

describe('jit policy explain ID', () => {
  let plane: ControlPlane
  let dev: Home
  let lead: Home
  beforeAll(async () => {
    plane = await ControlPlane.start()
    dev = new Home()
    lead = new Home()
    await Promise.all([plane.signIn(dev, 'dev'), plane.signIn(lead, 'lead')])
  })
  afterAll(async () => {
    await plane.stop()
    dev[Symbol.dispose]()
    lead[Symbol.dispose]()
  })

  test('says what a request in production waits for, and after the approval that it is permitted', async () => {
    const ask = ['request', '--env', 'prod', '--task', 'deploy', '--reason', 'release 12', '--json']
    const { stdout } = await dev.run([...ask, '--', 'true'])
    const { id } = JSON.parse(stdout).grant ?? JSON.parse(stdout)
    const before = await dev.run(['policy', 'explain', id])
    expect(before.code).toBe(0)
    expect(before.stdout).toContain('  deploy in prod: waits for platform-oncall')
    expect(before.stdout).toContain('forbid production-needs-oncall')
    expect(before.stdout).toContain('context.approvals = []')

    const foreign = await lead.run(['policy', 'explain', id])
    expect(foreign).toMatchObject({ code: 1, stdout: '' })
    expect(foreign.stderr).toContain(`there is no grant ${id}`)

    expect((await lead.run(['approve', id, '--yes'])).code).toBe(0)
    const after = await dev.run(['policy', 'explain', id, '--json'])
    expect(JSON.parse(after.stdout)).toMatchObject({ grant: id, today: { decision: 'permit' } })
  })
})
