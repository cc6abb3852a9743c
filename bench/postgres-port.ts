import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Figure } from './figure.ts'
import { alternate, type Program } from './processes.ts'

const PORT = fileURLToPath(new URL('./port.ts', import.meta.url))
/** Of what a direct connection does. */
const SHARE = 0.8
const QUERIES = 10_000
const PIPELINES = 500
/** A little over 100 MB. */
const SETUP = `
  CREATE TABLE bench_row (id int, content text);
  INSERT INTO bench_row SELECT n, repeat('x', 990) FROM generate_series(1, 105000) n;
  CREATE UNLOGGED TABLE bench_copy (LIKE bench_row);
`

type Environment = Readonly<Record<string, string>>

/** What is done, with one program or another's environment. */
interface Job {
  readonly what: string
  readonly file: string
  readonly args: readonly string[]
  readonly within?: boolean
}

/**
 * Jobs of `psql` and `pgbench`, directly and through the port, in turn.
 * @param postgres the administrator's URL
 */
export async function timePostgresPort(postgres: string, runs: number): Promise<Figure[]> {
  await using undo = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  undo.defer(() => rm(folder, { recursive: true, force: true }))
  const direct = directly(postgres)
  const through = await openPort(postgres, undo)
  const jobs = await prepare(folder, direct)
  const figures: Figure[] = []
  for (const { what, file, args, within } of jobs) {
    const as = (env: Environment): Program => ({ file, args, env })
    const [floor = 0, measured = 0] = await alternate([as(direct), as(through)], runs)
    const budget = within ? { budget: floor / SHARE } : {}
    figures.push({ what, unit: 'ms', measured, floor, floorIs: 'direct', ...budget })
  }
  return figures
}

async function prepare(folder: string, direct: Environment): Promise<Job[]> {
  const [rows, simple, pipeline] = ['rows', 'simple.sql', 'pipeline.sql'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  await writeFile(simple, 'SELECT 1;\n')
  const reads = 'SELECT content FROM bench_row LIMIT 1;\n'.repeat(100)
  await writeFile(pipeline, `\\startpipeline\n${reads}\\endpipeline\n`)
  const psql = (...commands: string[]) => [
    ...['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1'],
    ...commands.flatMap((command) => ['--command', command]),
  ]
  const pgbench = (script: string, times: number) => [
    ...['--no-vacuum', '--protocol=extended', `--file=${script}`, `--transactions=${times}`],
  ]
  await once(
    spawn('psql', psql(SETUP, `\\copy bench_row TO '${rows}'`), { env: direct, stdio: 'inherit' }),
    'exit',
  )
  const fill = psql('TRUNCATE bench_copy', `\\copy bench_copy FROM '${rows}'`)
  const out = psql('COPY bench_row TO STDOUT')
  const within = true
  return [
    { what: 'port: 10,000 queries', file: 'pgbench', args: pgbench(simple, QUERIES) },
    {
      what: 'port: 50,000 reads, piped',
      file: 'pgbench',
      args: pgbench(pipeline, PIPELINES),
      within,
    },
    { what: 'port: 100 MB out', file: 'psql', args: out, within },
    { what: 'port: 100 MB in', file: 'psql', args: fill, within },
  ]
}

function directly(postgres: string): Environment {
  const { hostname, port, username, password, pathname } = new URL(postgres)
  return {
    PATH: process.env.PATH ?? '',
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
  }
}

/** The port in a process of its own, as it is beside a command. */
async function openPort(postgres: string, undo: AsyncDisposableStack): Promise<Environment> {
  const child = spawn(process.execPath, [PORT], {
    env: { PATH: process.env.PATH ?? '', BENCH_POSTGRES_URL: postgres },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  undo.defer(async () => {
    const exited = once(child, 'exit')
    child.stdin.end()
    await exited
  })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  return { PATH: process.env.PATH ?? '', ...(JSON.parse(String(line)) as Environment) }
}
