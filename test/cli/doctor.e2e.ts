import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let home: Home
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

test('a machine where all is well, then one whose broker is gone', async () => {
  const plane = await ControlPlane.start()
  await plane.signIn(home, 'dev')
  home.env.SHELL = '/usr/bin/zsh'
  writeFileSync(join(home.directory, '.zshrc'), 'eval "$(jit hook zsh)"\n')
  const well = await home.run(['doctor', '--json'])
  const { ok, findings } = JSON.parse(well.stdout)
  expect({ code: well.code, ok }).toEqual({ code: 0, ok: true })
  expect(findings.map(({ check, state }: Record<string, string>) => `${check}: ${state}`)).toEqual([
    'broker: ok',
    'clock: ok',
    'identity: ok',
    'session: ok',
    'keystore: ok',
    'prompt: ok',
    'completion: note',
  ])
  await plane.stop()
  const ill = await home.run(['doctor'])
  expect(ill.code).toBe(1)
  expect(ill.stdout).toMatch(
    /^✗ broker +can't reach the broker at .*\n +next: is the address right/m,
  )
})

test('a broker whose configuration is wrong: the mistake, and exit code 1', async () => {
  const file = join(home.directory, 'broker.yaml')
  writeFileSync(file, 'url: nowhere\n')
  const { code, stdout } = await home.run(['doctor', '--broker', '--config', file])
  expect(code).toBe(1)
  expect(stdout).toMatch(/^✗ configuration +\S+broker\.yaml:1: /)
  const usage = await home.run(['doctor', '--broker'])
  expect(usage).toMatchObject({ code: 2, stdout: '' })
})
