import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type IPty, spawn as spawnOnTerminal } from '@lydell/node-pty'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '../../src/protocol/grant.ts'
import { absent, needsSandbox, SANDBOX } from '../absent.ts'
import { type Ended, ended, Home, JIT } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { type PostgresServer, startPostgres } from '../servers/postgres.ts'
import { signIn } from './signing-in.ts'

const CONFIG = `sandbox:
  profiles:
    web: { domains: [packages.example.com, evil.test], environment: [SHOP_SECRET], tasks: [plan] }
`
const PROFILE = 'version: 1\nprofiles:\n  look: { environment: dev, task: plan, ttl: 5m }\n'

let postgres: PostgresServer
let plane: ControlPlane
/** Of somebody who may read the audit log. */
let auditor: Home
let developer: Home

let word = 0
/** A time to sleep that no other process sleeps. */
const mark = () => `${process.pid}${(word++).toString().padStart(3, '0')}`

/** A person who stands in a repository, with a copilot to start. */
class Stage implements Disposable {
  /** One that no other test has. */
  readonly agent = `claude-${mark()}`
  readonly repository: string
  readonly #home: Home
  readonly #started: ChildProcess[] = []

  constructor(home = developer) {
    this.#home = home
    this.repository = join(home.directory, this.agent)
    mkdirSync(join(this.repository, '.git'), { recursive: true })
    writeFileSync(join(this.repository, '.git/HEAD'), 'ref: refs/heads/main\n')
    writeFileSync(join(this.repository, '.jit.yaml'), PROFILE)
  }

  /** Starts `jit sandbox` around a shell's script in which `jit` is this one. */
  start(script: string, ...flags: string[]): ChildProcess {
    const jit = `jit() { '${process.execPath}' '${JIT}' "$@"; }\n`
    const command = ['/bin/sh', '-c', jit + script]
    const own = ['--agent', this.agent, ...flags]
    const child = spawn(process.execPath, [JIT, 'sandbox', ...own, '--', ...command], {
      cwd: this.repository,
      env: { ...this.#home.env, SHOP_SECRET: 'of-the-person' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#started.push(child)
    return child
  }

  /** Starts one on a terminal of its own. */
  terminal(...command: string[]): IPty {
    const words = [JIT, 'sandbox', '--agent', this.agent, '--', ...command]
    const { env } = this.#home
    const size = { cols: 100, rows: 30 }
    return spawnOnTerminal(process.execPath, words, { cwd: this.repository, env, ...size })
  }

  run(script: string, ...flags: string[]): Promise<Ended> {
    return ended(this.start(script, ...flags))
  }

  /** Starts one that goes on until it is ended, and waits until its script says that it is up. */
  async hold(script: string, ...flags: string[]) {
    const child = this.start(`${script}\necho up; while :; do sleep 0.1; done`, ...flags)
    const over = ended(child)
    if (!child.stdout) throw new Error('expected a pipe')
    for await (const line of createInterface({ input: child.stdout })) {
      if (line === 'up') return { child, over }
    }
    throw new Error((await over).stderr)
  }

  /** What the log says of the copilot. */
  async recorded(): Promise<{ event: string; [key: string]: unknown }[]> {
    const { stdout, stderr, code } = await auditor.run(['audit', '--json'])
    if (code !== 0) throw new Error(stderr)
    const entries = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    return entries.filter(({ principal }) => principal?.name.startsWith(`${this.agent}, for `))
  }

  [Symbol.dispose](): void {
    for (const child of this.#started) child.kill('SIGKILL')
  }
}

/** Whether a process runs that was given this word, whatever its namespace. */
const runs = (word: string): boolean =>
  readdirSync('/proc').some((entry) => {
    if (!/^\d+$/.test(entry)) return false
    try {
      return readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0').includes(word)
    } catch {
      return false
    }
  })

describe.skipIf(absent(...SANDBOX))(needsSandbox, { concurrent: true }, () => {
  beforeAll(async () => {
    postgres = await startPostgres()
    plane = await ControlPlane.start({ postgres: postgres.url() })
    auditor = new Home()
    await plane.signIn(auditor, 'admin')
    developer = new Home()
    await plane.signIn(developer, 'dev')
    const file = join(developer.directory, '.config/jit/config.yaml')
    writeFileSync(file, `${readFileSync(file, 'utf8')}${CONFIG}`)
  })
  afterAll(async () => {
    auditor[Symbol.dispose]()
    developer[Symbol.dispose]()
    await plane.stop()
    await postgres.stop()
  })

  test('what runs inside is an agent of the person, asks for itself, and can’t reach the person’s session', async () => {
    using stage = new Stage()
    const person = JSON.parse((await developer.run(['whoami', '--json'])).stdout)
    const { stdout, stderr, code } = await stage.run(
      `jit whoami --json
        jit exec --env dev --task plan --target dev-api -- sh -c 'echo "$JIT_GRANT"'
        jit grants --json
        for command in login approve trust 'policy check' sandbox; do
          jit $command 2>&1 | head -n 1
        done
        echo "stored: $(cat "$HOME"/.local/share/jit/* 2>/dev/null | wc -c), secret: $SHOP_SECRET"
        env -u JIT_SANDBOX JIT_BROKER='${plane.broker}' '${process.execPath}' '${JIT}' whoami 2>&1 | head -n 1`,
      ...['--env', 'dev'],
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) })
    const [me = '', grant, grants = '', ...said] = stdout.split('\n')
    expect(JSON.parse(me)).toMatchObject({
      principal: { kind: 'agent', name: `${stage.agent}, for dev`, owner: person.principal.id },
      ceiling: { environments: ['dev'] },
    })
    expect(JSON.parse(grants)).toMatchObject({ grants: [] })
    expect(said).toEqual([
      ...['login', 'approve', 'trust', 'policy', 'sandbox'].map(
        (command) => `jit: error: jit ${command} doesn't belong in a sandbox`,
      ),
      'stored: 0, secret: ',
      expect.stringMatching(/^jit: error: not signed in/),
      '',
    ])
    expect(stderr).toContain(`● ${stage.agent} in a sandbox · up to 2h · no network`)
    expect(stderr).toMatch(/not passed on: .*SHOP_SECRET/)
    const ofGrant = (await stage.recorded()).filter((entry) => entry.grant === grant)
    expect(ofGrant.at(-1)?.principal).toMatchObject({ name: `${stage.agent}, for dev` })
  })

  test('kill -9 of the supervisor leaves no process, and the broker ends the sandbox', async () => {
    using stage = new Stage()
    const here = mark()
    const { child, over } = await stage.hold(`setsid sleep ${here} &`)
    child.kill('SIGKILL')
    await over
    await expect.poll(() => runs(here)).toBe(false)
    const gone = async () => (await stage.recorded()).some(({ event }) => event === 'sandbox.ended')
    await expect.poll(gone, { timeout: 20_000, interval: 1000 }).toBe(true)
  })

  test('the owner’s logout ends everything in it, what ignores TERM and has moved away too', async () => {
    using dana = new Home()
    await plane.signIn(dana, 'dana')
    using stage = new Stage(dana)
    const here = mark()
    const away = `trap '' TERM; setsid sh -c 'trap "" TERM; sleep ${here}' &`
    const { over } = await stage.hold(away)
    await expect.poll(() => runs(here)).toBe(true)
    expect((await dana.run(['logout'])).code).toBe(0)
    expect((await over).stderr).toContain('stopping everything in the sandbox')
    expect(runs(here)).toBe(false)
    expect(readdirSync(join(dana.directory, 'run/jit/sandboxes'))).toEqual([])
  })

  test('a profile says what may be reached, as far as policy goes; the rest is told at the end', async () => {
    using stage = new Stage()
    const { stdout, stderr } = await stage.run(
      `echo "secret: $SHOP_SECRET"
        curl -sS -m 5 http://evil.test/ >/dev/null 2>&1
        jit exec --env dev --task deploy --quiet -- true 2>&1 | head -n 1`,
      ...['--profile', 'web'],
    )
    expect(stdout).toContain('secret: of-the-person')
    expect(stdout).toContain('jit: error: ')
    expect(stderr).toContain('reaches packages.example.com')
    expect(stderr).toContain("policy doesn't permit it to reach evil.test")
    expect(stderr).toContain('out of its reach: evil.test:80')
    expect((await stage.recorded()).map(({ event }) => event)).toContain('sandbox.refused')
  })

  test('a request that nobody has decided ends with the sandbox, and that is said', async () => {
    using stage = new Stage()
    const { stdout, stderr } = await stage.run('jit request --env prod --task deploy -- make')
    expect(stderr).toContain('nobody decided: prod · deploy · make\n  the request ended with the')
    // Its session ended right behind: a moment later the broker has withdrawn it.
    const stateOf = async () =>
      JSON.parse((await developer.run(['show', stdout.trim(), '--json'])).stdout).grants[0].state
    await expect.poll(stateOf).toBe('refused')
  })

  test('a profile of the repository is for those who trust it, inside as outside', async () => {
    using stage = new Stage()
    const look = 'jit exec look -- echo looked'
    expect((await stage.run(look)).stderr).toContain('is not trusted as it is now')
    const trust = [JIT, 'trust', '--yes']
    spawnSync(process.execPath, trust, { cwd: stage.repository, env: developer.env })
    expect((await stage.run(look)).stdout).toContain('looked')
  })

  test('a database is used by a credential that isn’t there: the link is its port', async () => {
    using stage = new Stage()
    const use = signIn(1).map((word) => `'${word.replaceAll("'", `'\\''`)}'`)
    const { stdout, stderr } = await stage.run(
      `jit exec --env dev --task plan --target dev-db -- sh -c 'env; exec "$@"' sh ${use.join(' ')}`,
    )
    expect({ stdout, stderr }).toMatchObject({ stdout: expect.stringContaining('signed in') })
    expect(stdout).toContain('PGPORT=7421')
    expect(stdout).not.toContain('PGPASSWORD')
    expect(stdout).toMatch(/^PG_CONN_STR=postgres:\/\/[^:@]+@127\.0\.0\.1:7421\//m)
  })

  test('at a terminal Ctrl-C reaches what runs inside, and the size is the terminal’s', async () => {
    using stage = new Stage()
    const script = `trap 'stty size; exit 4' INT; echo up; while :; do sleep 0.1; done`
    const terminal = stage.terminal('/bin/sh', '-c', script)
    let shown = ''
    terminal.onData((text) => {
      shown += text
      if (text.includes('up\r\n')) terminal.write('\x03')
    })
    const code = await new Promise((resolve) => terminal.onExit((end) => resolve(end.exitCode)))
    expect(code).toBe(4)
    expect(shown).toContain('30 100')
  })

  test('exit code and signal are the command’s own; what isn’t there is 127', async () => {
    using stage = new Stage()
    expect((await stage.run('exit 7')).code).toBe(7)
    expect((await stage.run('kill -KILL $$')).signal).toBe('SIGKILL')
    expect((await developer.run(['sandbox', '--', 'no-such-command'])).code).toBe(127)
    expect((await developer.run(['sandbox'])).code).toBe(125)
  })

  test('a signal reaches the command, and the session ends with it', async () => {
    using stage = new Stage()
    const { child, over } = await stage.hold(`trap 'exit 5' TERM`)
    child.kill('SIGTERM')
    expect(await over).toMatchObject({ code: 5, signal: null })
    const events = (await stage.recorded()).map(({ event }) => event)
    expect(events).toContain('session.ended')
  })

  test('a grant that its person revokes stops its command inside, what has moved away too', async () => {
    using stage = new Stage()
    const here = mark()
    // Of all that runs there, itself left out.
    const left = `grep -qsxz '[${here[0]}]${here.slice(1)}' /proc/[0-9]*/cmdline`
    const { over } = await stage.hold(
      `jit exec --env dev --task plan --target dev-api -- \\
          sh -c 'setsid sleep ${here} & sleep 0.2; echo up; wait'
        if ${left}; then exit 9; fi
        exit 3`,
    )
    expect(runs(here)).toBe(true)
    const { grants } = JSON.parse((await developer.run(['grants', '--json'])).stdout)
    const own = grants.find((grant: Grant) => grant.principal.name.startsWith(stage.agent))
    expect((await developer.run(['revoke', own.id])).code).toBe(0)
    expect((await over).code).toBe(3)
  })

  test('jit revoke --agent is the kill switch of a copilot', async () => {
    using stage = new Stage()
    const here = mark()
    const { over } = await stage.hold(`sleep ${here} &`)
    const { code, stderr } = await developer.run(['revoke', '--agent', stage.agent])
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect((await over).stderr).toContain('stopping everything in the sandbox')
    expect(runs(here)).toBe(false)
  })

  test('a copilot with a sign-in of its own uses that, and keeps it', async () => {
    using stage = new Stage()
    await plane.signInAgent(developer, { login: 'dev', name: stage.agent })
    const limited = await stage.run('true', '--task', 'plan')
    expect(limited.stderr).toContain(`${stage.agent} has signed in as itself`)
    const { stdout } = await stage.run('jit whoami --json')
    expect(JSON.parse(stdout).principal.id).toContain(`#jit-agent/${stage.agent}`)
    expect((await developer.run(['whoami'], { JIT_AGENT: stage.agent })).code).toBe(0)
  })
})
