import { once as onceOf } from 'node:events'
import { readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Home } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'

let plane: ControlPlane
let home: Home
beforeAll(async () => {
  plane = await ControlPlane.start()
})
afterAll(() => plane?.stop())
beforeEach(() => {
  home = new Home()
})
afterEach(() => home[Symbol.dispose]())

test('the log reads as a table: who did what where, and what came of it', async () => {
  await plane.signIn(home, 'admin')
  expect((await home.run(['exec', '--env', 'dev', '--task', 'plan', '--', 'true'])).code).toBe(0)
  const { code, stdout, stderr } = await home.run(['audit'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const [heading = '', ...lines] = stdout.trimEnd().split('\n')
  expect(heading).toMatch(/^TIME +EVENT +WHO +GRANT +WHERE +TARGETS +OUTCOME$/)
  const granted = lines.find((line) => line.includes('grant.granted')) ?? ''
  expect(granted).toMatch(/^\S+Z +grant\.granted +admin +g_\S+ +dev\/plan +dev-api +until \S+Z$/)
  expect(granted.indexOf('dev-api')).toBe(heading.indexOf('TARGETS'))
  expect(lines.find((line) => line.includes('grant.ended'))).toMatch(/exit, code 0$/)
  expect(lines.find((line) => line.includes('lease.revoked'))).toMatch(/dev-api +revoked/)
})

test('it is exported to a file, what is new at each time, and followed until TERM', async () => {
  await plane.signIn(home, 'admin')
  const to = join(home.directory, 'audit.jsonl')
  const seqs = () =>
    readFileSync(to, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).seq)
  const once = await home.run(['audit', '--export', 'jsonl', '--to', to])
  expect(once).toMatchObject({ code: 0, stdout: '' })
  const before = seqs().length
  expect(once.stderr).toBe(`${before} entries exported to ${to}\n`)
  const following = home.start(['audit', '--export', 'jsonl', '--to', to, '--follow'])
  const ended = new Promise((resolve) => following.once('exit', (code) => resolve(code)))
  const watcher = watch(to)
  await home.run(['exec', '--env', 'dev', '--task', 'plan', '--', 'true'])
  while (!readFileSync(to, 'utf8').includes('grant.revoked')) await onceOf(watcher, 'change')
  watcher.close()
  following.kill('SIGTERM')
  expect(await ended).toBe(0)
  expect(seqs()).toEqual(seqs().map((_, at) => at + 1))
  const wrong = await home.run(['audit', '--export', 'jsonl', '--to', 'http://siem.acme.dev/'])
  expect(wrong).toMatchObject({ code: 2, stdout: '' })
  expect(wrong.stderr).toContain('--to: expected https, or http on loopback')
})

test('who may not read it is told who says so, and gets nothing', async () => {
  await plane.signIn(home, 'dev')
  const { code, stdout, stderr } = await home.run(['audit'])
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
  expect(stderr).toContain('jit: hint: policies say who may')
})

test('a sign-out without grants promises no more than it does', async () => {
  await plane.signIn(home, 'dev')
  expect((await home.run(['logout'])).stderr).toMatch(
    /^signed out of \S+; any grants of this session end with it\n$/,
  )
})
