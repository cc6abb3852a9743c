import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Home, JIT } from '../run/home.ts'
import { ControlPlane } from '../servers/control-plane.ts'
import { Database } from '../servers/database.ts'
import { startPostgres } from '../servers/postgres.ts'
import { SUPERVISOR_SAID, type Surroundings } from './escape.ts'
import { type Finding, judge, type Row, type Truth, tabulate } from './referee.ts'
import { type Stage, setStage } from './stage.ts'

const HOLD_MS = 45_000

/** The machine with all that is on it, before anybody attacks. */
interface Scene {
  readonly home: Home
  readonly plane: ControlPlane
  readonly database: Database
  readonly stage: Stage
  readonly surroundings: Surroundings
}

/**
 * Lets the hostile copilot loose, in a sandbox and, for what needs no trick, outside: a real broker, a
 * real PostgreSQL, the built CLI.
 * @returns a row for each escape
 */
export async function redTeam(): Promise<Row[]> {
  await using server = await startPostgres()
  await using plane = await ControlPlane.start({ postgres: server.url() })
  await using database = new Database(server.url())
  using home = new Home()
  await using stage = await setStage(home.directory, [process.execPath, JIT])
  await plane.signIn(home, 'dev')
  const scene = { home, plane, database, stage }
  const surroundings = await describe(scene, server.port)
  const inside = await attackInside({ ...scene, surroundings })
  const outside = await attackOutside({ ...scene, surroundings })
  return tabulate(outside, inside)
}

/** What the person has asked for, and what the copilot is told. */
async function describe(
  { home, plane, stage }: Omit<Scene, 'surroundings'>,
  databasePort: number,
): Promise<Surroundings> {
  configure(home, stage)
  const words = ['--env', 'prod', '--task', 'deploy', '--target', 'prod-api', '--json']
  const asked = await home.run(['request', ...words, '--reason', stage.secret, '--', 'true'])
  const grantOfOwner = /g_[a-z0-9]+/.exec(asked.stdout)?.[0]
  if (!grantOfOwner) throw new Error(`the person could not ask: ${asked.stdout}${asked.stderr}`)
  const { broker } = plane
  return { ...stage.surroundings, broker, databasePort, grantOfOwner }
}

/** Below the secret that stands in the file already. */
function configure(home: Home, { secret }: Stage): void {
  const file = join(home.directory, '.config/jit/config.yaml')
  const profiles = '{ copilot: { domains: ["example.com:443"] } }'
  writeFileSync(file, `# ${secret}\nsandbox: { profiles: ${profiles} }\n`)
}

const CEILING = ['--env', 'dev', '--env', 'prod', '--task', 'plan', '--task', 'deploy']

/** `jit sandbox` around a run of the copilot. */
function sandboxed({ home, stage, surroundings }: Scene, args: readonly string[]): ChildProcess {
  const flags = ['--profile', 'copilot', '--agent', 'copilot', ...CEILING]
  const command = [process.execPath, join(surroundings.repository, 'copilot/copilot.ts'), ...args]
  const said = openSync(join(home.directory, SUPERVISOR_SAID), 'a')
  const child = spawn(process.execPath, [JIT, 'sandbox', ...flags, '--', ...command], {
    cwd: surroundings.repository,
    env: { ...home.env, OF_THE_PERSON: stage.secret },
    // As a terminal or an editor may leave them open.
    stdio: ['ignore', 'inherit', said, ...stage.leftOpen],
  })
  closeSync(said)
  return child
}

function plainly({ home, stage, surroundings }: Scene, args: readonly string[]): ChildProcess {
  const script = join(surroundings.repository, 'copilot/copilot.ts')
  return spawn(process.execPath, [script, ...args], {
    cwd: surroundings.repository,
    env: { ...home.env, OF_THE_PERSON: stage.secret },
    // As a terminal or an editor may leave them open.
    stdio: ['ignore', 'inherit', 'inherit', ...stage.leftOpen],
  })
}

async function attackInside(scene: Scene): Promise<Map<string, Finding>> {
  const { surroundings } = scene
  const told = join(surroundings.repository, 'surroundings.json')
  writeFileSync(told, JSON.stringify(surroundings))
  const results = (name: string) => join(surroundings.repository, `${name}.jsonl`)
  const watched = watchPasswords(scene.database)
  const first = sandboxed(scene, [told, results('inside'), 'all'])
  const over = once(first, 'exit')
  await Promise.race([over, untilThere(join(surroundings.notes, 'granted.env'))])
  const others = [
    plainly(scene, [told, results('replay-outside'), 'all', 'Replay']),
    sandboxed(scene, [told, results('replay-inside'), 'all', 'Replay']),
  ]
  await Promise.all(others.map((child) => once(child, 'exit')))
  writeFileSync(join(surroundings.notes, 'done'), '')
  await over
  const truth = await truthOf(scene, watched)
  const [findings, ...replayed] = await Promise.all(
    ['inside', 'replay-outside', 'replay-inside'].map((name) => judge(results(name), truth)),
  )
  return worst(findings ?? new Map(), replayed)
}

/** Of what was tried from several places, what counts is the one that succeeded. */
function worst(
  findings: Map<string, Finding>,
  more: readonly ReadonlyMap<string, Finding>[],
): Map<string, Finding> {
  for (const [name, finding] of more.flatMap((one) => [...one])) {
    if (findings.get(name)?.verdict !== 'succeeded') findings.set(name, finding)
  }
  return findings
}

async function attackOutside(scene: Scene): Promise<Map<string, Finding>> {
  const { surroundings } = scene
  const told = join(surroundings.repository, 'surroundings.json')
  const results = join(surroundings.repository, 'outside.jsonl')
  mkdirSync(surroundings.notes, { recursive: true })
  const watched = watchPasswords(scene.database)
  await once(plainly(scene, [told, results, 'plain']), 'exit')
  return judge(results, await truthOf(scene, watched))
}

async function untilThere(file: string): Promise<void> {
  const deadline = performance.now() + HOLD_MS
  while (!existsSync(file) && performance.now() < deadline) await wait(20)
}

interface Watched {
  stop(): Promise<string[]>
}

/** Collects what the database stores of the passwords of leases, while they are there. */
function watchPasswords(database: Database): Watched {
  const found = new Set<string>()
  const over = new AbortController()
  const look = async () => {
    while (!over.signal.aborted) {
      const rows = await database.query<{ rolpassword: string }>(
        "SELECT rolpassword FROM pg_authid WHERE rolname ~ '^j[a-z0-9]{31}$'",
      )
      for (const { rolpassword } of rows) found.add(rolpassword)
      await wait(100)
    }
  }
  const looking = look()
  return {
    async stop() {
      over.abort()
      await looking
      return [...found]
    },
  }
}

async function truthOf({ stage, surroundings }: Scene, watched: Watched): Promise<Truth> {
  return { secret: stage.secret, surroundings, verifiers: await watched.stop() }
}
