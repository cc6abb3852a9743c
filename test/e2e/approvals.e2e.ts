import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DEV_POLICIES } from '../../src/dev/policies.ts'
import type { AuditEntry } from '../../src/protocol/audit.ts'
import { ended, Home, JIT } from '../run/home.ts'
import { Screen } from '../run/screen.ts'
import { confirmDevice } from '../servers/browser.ts'
import { ControlPlane } from '../servers/control-plane.ts'

const DEPLOY = ['--env', 'prod', '--task', 'deploy', '--reason', 'release 41']
const COMMIT = '9fceb02d0ae598e95dc970b74767f19372d61af8'

let data: string
let plane: ControlPlane
let dev: Home
let lead: Home
let admin: Home

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'jit-approvals-'))
  plane = await ControlPlane.start({ data })
  dev = new Home()
  lead = new Home()
  admin = new Home()
  await plane.signIn(dev, 'dev')
  await plane.signIn(lead, 'lead')
  await plane.signIn(admin, 'admin')
})
afterAll(async () => {
  await plane.stop()
  for (const home of [dev, lead, admin]) home[Symbol.dispose]()
  rmSync(data, { recursive: true, force: true })
})

/** Starts `jit exec` and resolves once its request waits. */
async function waiting(args: readonly string[]) {
  const child = dev.start(['exec', ...args])
  const end = ended(child)
  const grant = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stderr?.on('data', (chunk) => {
      text += String(chunk)
      const [, id] = /waiting for platform-oncall +jit approve (g_\w+)/.exec(text) ?? []
      if (id) resolve(id)
    })
    child.once('exit', () => reject(new Error(`it did not wait: ${text}`)))
  })
  return { child, end, grant }
}

/** Asks without waiting. */
async function ask(...command: string[]): Promise<string> {
  const { code, stderr } = await dev.run([
    'exec',
    ...DEPLOY,
    '--no-wait',
    '--json',
    '--',
    ...command,
  ])
  expect(code).toBe(6)
  return JSON.parse(stderr).error.grant
}

async function auditOf(grant: string): Promise<AuditEntry[]> {
  const { stdout } = await admin.run(['audit', '--json'])
  const entries = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditEntry)
  return entries.filter((entry) => entry.grant === grant)
}

async function stateOf(grant: string): Promise<string> {
  const { stdout } = await dev.run(['show', grant, '--json'])
  return JSON.parse(stdout).grants[0].state
}

const approve = (grant: string, by = lead) => by.run(['approve', grant, '--yes'])

/** A repository as the client reads it: data, without git. */
function repository(name: string, branch = 'main'): string {
  const folder = mkdtempSync(join(dev.directory, 'repository-'))
  mkdirSync(join(folder, '.git/refs/heads'), { recursive: true })
  writeFileSync(join(folder, '.git/HEAD'), `ref: refs/heads/${branch}\n`)
  writeFileSync(join(folder, '.git/refs/heads', branch), `${COMMIT}\n`)
  const config = `[remote "origin"]\n\turl = https://github.com/acme/${name}.git\n`
  writeFileSync(join(folder, '.git/config'), config)
  return folder
}

describe('jit exec in production', () => {
  test('waits for somebody on call and then runs, on one id from request to receipt', async () => {
    const { end, grant } = await waiting([...DEPLOY, '--', 'sh', '-c', 'echo $JIT_GRANT; exit 5'])
    const shown = await lead.run(['status', '--json'])
    expect(JSON.parse(shown.stdout).approvals).toMatchObject([
      {
        subject: { grant, environment: 'prod', task: 'deploy', context: { reason: 'release 41' } },
        policies: [{ id: 'production-needs-oncall' }],
      },
    ])
    expect(await approve(grant)).toMatchObject({ code: 0 })
    const { code, stdout, stderr } = await end
    expect({ code, stdout }).toEqual({ code: 5, stdout: `${grant}\n` })
    expect(stderr).toMatch(
      /✓ approved by lead +after \d+s\n✓ granted .*\n[\s\S]*✓ revoked prod-api/,
    )
    const events = (await auditOf(grant)).map(({ event }) => event)
    expect(events).toEqual(
      expect.arrayContaining(['grant.approved', 'grant.granted', 'grant.revoked']),
    )
    expect(events.indexOf('grant.approved')).toBeLessThan(events.indexOf('grant.granted'))
  })

  test('a no is passed on with its reason, and nothing is minted', async () => {
    const { end, grant } = await waiting([...DEPLOY, '--', 'true'])
    await lead.run(['deny', grant, '--yes', '--reason', 'not on a Sunday'])
    const { code, stderr } = await end
    expect(code).toBe(125)
    expect(stderr).toContain('jit: error: lead denied it: not on a Sunday')
    expect(await stateOf(grant)).toBe('refused')
    expect((await auditOf(grant)).map(({ event }) => event)).not.toContain('grant.granted')
  })

  test('Ctrl-C withdraws the request: nobody can approve it any more', async () => {
    const { child, end, grant } = await waiting([...DEPLOY, '--', 'true'])
    child.kill('SIGINT')
    expect(await end).toMatchObject({
      code: 130,
      stderr: expect.stringContaining(`withdrew ${grant}`),
    })
    expect(await stateOf(grant)).toBe('refused')
    expect(await approve(grant)).toMatchObject({ code: 1 })
  })

  test('one that is killed withdraws its request after the grace', async () => {
    const { child, end, grant } = await waiting([...DEPLOY, '--', 'true'])
    child.kill('SIGKILL')
    await end
    await expect.poll(() => stateOf(grant), { timeout: 30_000 }).toBe('refused')
  })

  test('a broker that is killed and started again changes nothing for who waits', async () => {
    const { end, grant } = await waiting([...DEPLOY, '--', 'sh', '-c', 'exit 4'])
    const { port } = plane
    await plane.kill()
    plane = await ControlPlane.start({ data, port })
    await expect.poll(async () => (await approve(grant)).code).toBe(0)
    expect(await end).toMatchObject({ code: 4 })
  })

  test('nobody approves their own request, whatever their group', async () => {
    const { stdout } = await lead.run(['request', ...DEPLOY, '--', 'true'])
    const own = await approve(stdout.trim())
    expect(own).toMatchObject({ code: 3 })
    expect(own.stderr).toContain('you asked for it')
    expect(await approve(stdout.trim(), admin)).toMatchObject({ code: 0 })
  })

  test('who is not on call approves nothing, and sees nothing that waits', async () => {
    const { stdout } = await lead.run(['request', ...DEPLOY, '--', 'true'])
    expect(await approve(stdout.trim(), dev)).toMatchObject({ code: 1 })
    expect(JSON.parse((await dev.run(['status', '--json'])).stdout).approvals).toEqual([])
    expect(await lead.run(['revoke', stdout.trim()])).toMatchObject({ code: 0 })
  })
})

describe('a request that was approved ahead', () => {
  test('is used once, for exactly what was approved; a refused try does not use it up', async () => {
    const grant = await ask('sh', '-c', 'exit 7')
    expect(await approve(grant)).toMatchObject({ code: 0 })
    const redeem = (...command: string[]) => dev.run(['exec', '--grant', grant, '--', ...command])
    const other = await redeem('sh', '-c', 'exit 8')
    expect(other).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('not what was asked for'),
    })
    expect(await stateOf(grant)).toBe('approved')
    expect(await redeem('sh', '-c', 'exit 7')).toMatchObject({ code: 7 })
    expect(await redeem('sh', '-c', 'exit 7')).toMatchObject({ code: 125 })
  })

  test('is not for another repository, nor for another branch', async () => {
    const folder = repository('shop')
    const inside = ['sh', '-c', `cd '${folder}' && exec "$@"`, 'sh', process.execPath, JIT]
    const asked = await shell([...inside, 'request', ...DEPLOY, '--', 'true'])
    const grant = asked.stdout.trim()
    const { stdout } = await lead.run(['approve', grant, '--yes', '--json'])
    expect(JSON.parse(stdout).subject.context.claimed).toMatchObject({
      repository: 'github.com/acme/shop',
      branch: 'main',
      commit: COMMIT,
    })
    writeFileSync(join(folder, '.git/HEAD'), 'ref: refs/heads/other\n')
    writeFileSync(join(folder, '.git/refs/heads/other'), `${COMMIT}\n`)
    expect(await shell([...inside, 'exec', '--grant', grant, '--', 'true'])).toMatchObject({
      code: 125,
    })
    writeFileSync(join(folder, '.git/HEAD'), 'ref: refs/heads/main\n')
    expect(await shell([...inside, 'exec', '--grant', grant, '--', 'true'])).toMatchObject({
      code: 0,
    })
  })

  test('jit request --wait ends with the approval', async () => {
    const child = dev.start(['request', ...DEPLOY, '--wait', '--', 'true'])
    const end = ended(child)
    if (!child.stdout) throw new Error('expected a pipe')
    const grant = await new Promise<string>((resolve) =>
      child.stdout?.once('data', (chunk) => resolve(String(chunk).trim())),
    )
    await approve(grant)
    expect(await end).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`${grant} is approved`),
    })
    expect(JSON.parse((await dev.run(['status', '--json'])).stdout).pending).toMatchObject([
      { id: grant, state: 'approved' },
    ])
    expect(await dev.run(['revoke', grant])).toMatchObject({
      code: 0,
      stdout: `${grant}: withdrawn\n`,
    })
  })

  test('jit approve --watch prints each once, over a restart of the broker', async () => {
    const watch = lead.start(['approve', '--watch', '--json'])
    const end = ended(watch)
    if (!watch.stdout) throw new Error('expected a pipe')
    const lines = createInterface({ input: watch.stdout })[Symbol.asyncIterator]()
    const next = async () => JSON.parse(String((await lines.next()).value)).subject.grant
    const first = await ask('true')
    expect(await next()).toBe(first)
    const { port } = plane
    await plane.kill()
    plane = await ControlPlane.start({ data, port })
    const second = await ask('true')
    expect(await next()).toBe(second)
    watch.kill('SIGINT')
    expect(await end).toMatchObject({ code: 130 })
    await dev.run(['revoke', first, second])
  })
})

async function shell([file = '', ...args]: readonly string[]) {
  const { spawn } = await import('node:child_process')
  const child = spawn(file, args, { cwd: dev.directory, env: dev.env })
  child.stdin.end()
  return ended(child)
}

describe('broken glass', () => {
  test('is for those on call, and listed for the others until one of them acknowledges it', async () => {
    const flags = ['exec', ...DEPLOY, '--break-glass', '--', 'sh', '-c', 'echo $JIT_GRANT']
    expect(await dev.run(flags)).toMatchObject({ code: 125, stdout: '' })
    const { code, stdout } = await lead.run(flags)
    expect(code).toBe(0)
    const grant = stdout.trim()
    const listed = async (home: Home) =>
      JSON.parse((await home.run(['status', '--json'])).stdout).unacknowledged.map(
        ({ id }: { id: string }) => id,
      )
    expect(await listed(admin)).toContain(grant)
    expect(await listed(lead)).not.toContain(grant)
    expect(await lead.run(['acknowledge', grant])).toMatchObject({ code: 3 })
    expect(await admin.run(['acknowledge', grant])).toMatchObject({ code: 0 })
    expect(await listed(admin)).not.toContain(grant)
    const entries = await auditOf(grant)
    expect(entries.map(({ event }) => event)).toContain('grant.acknowledged')
    expect(entries.find(({ event }) => event === 'grant.permitted')).toMatchObject({
      break_glass: true,
    })
  })
})

test('in two terminals: one waits, the other reads all of it and says yes', async () => {
  const requester = new Screen(dev, [process.execPath, JIT, 'exec', ...DEPLOY, '--', 'echo', 'a b'])
  await requester.shows(/waiting for platform-oncall … 1s/)
  const approver = new Screen(lead, [process.execPath, JIT, 'approve'])
  await approver.shows('Approve this?')
  for (const fact of [
    /who +dev \(human, /,
    /wants +deploy in prod \(production\)/,
    /at +prod-api: token, internal data, as read, write/,
    /command +echo 'a b'/,
    /reason +release 41/,
    /demanded by +production-needs-oncall/,
  ]) {
    expect(approver.text).toMatch(fact)
  }
  approver.type('y\r')
  expect((await approver.ended).exitCode).toBe(0)
  expect((await requester.ended).exitCode).toBe(0)
  expect(requester.text).toMatch(/approved by lead[\s\S]*granted[\s\S]*a b[\s\S]*revoked prod-api/)
})

describe('where policy wants approvers to sign in for it', () => {
  let strict: ControlPlane
  let folder: string
  let approver: Home

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'jit-approvals-'))
    mkdirSync(join(folder, 'policies'))
    for (const { name, content } of DEV_POLICIES) {
      const text = content.replace(
        /(action == Action::"approve",\s+resource\n\));/,
        '$1 when { context.method == "reauth" };',
      )
      writeFileSync(join(folder, 'policies', name), text)
    }
    strict = await ControlPlane.start({ data: folder })
    approver = new Home()
    await strict.signIn(approver, 'lead')
    await strict.signIn(dev, 'dev')
  })
  afterEach(async () => {
    await strict.stop()
    approver[Symbol.dispose]()
    rmSync(folder, { recursive: true, force: true })
    dev.env.JIT_BROKER = plane.broker
  })

  test('jit approve has them sign in and approves what was shown; a script is told how', async () => {
    const grant = await ask('true')
    // `auth_time` has whole seconds.
    const asked = Date.now()
    await expect.poll(() => Date.now() - asked).toBeGreaterThan(2000)
    const script = await approver.run(['approve', grant, '--yes', '--json'])
    expect(script.code).toBe(4)
    expect(JSON.parse(script.stderr).error).toMatchObject({
      code: 'insufficient_user_authentication',
      hint: expect.stringContaining('jit login --fresh'),
    })
    const screen = new Screen(approver, [process.execPath, JIT, 'approve', grant])
    await screen.shows('Approve this?')
    screen.type('y\r')
    await screen.shows(/user_code=\S+[\s\S]*confirm the code/)
    const [verificationUriComplete = ''] = /http\S+user_code=[A-Z-]+/.exec(screen.text) ?? []
    await confirmDevice({ verificationUriComplete, login: 'lead' })
    expect((await screen.ended).exitCode).toBe(0)
    expect(screen.text).toContain(`approved ${grant}`)
    expect(await stateOf(grant)).toBe('approved')
  })
})
