/**
 * What `jit` costs, each figure beside its floor from the same run.
 *
 *     npm run bench [-- --quick] [--json] [--profile DIR]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { timeDecisions } from './decisions.ts'
import { type Figure, met, table } from './figure.ts'
import type { LoadResult } from './load.ts'
import { timeMasking } from './masking.ts'
import { memoryOf, memoryOfNode, mostMemory } from './memory.ts'
import { type Ending, timeObligations } from './obligations.ts'
import { timePostgresPort } from './postgres-port.ts'
import { alternate, type Program, runLoad } from './processes.ts'
import { timePrompt } from './prompt.ts'
import { timeSandboxStart } from './sandbox-start.ts'
import { JIT, type Stage, setStage } from './stage.ts'
import { quantile } from './statistics.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
  },
})

const LOADS = {
  lifeline: new URL('./lifeline-load.ts', import.meta.url),
  sql: new URL('./sql-load.ts', import.meta.url),
}
const RUNS = options.quick ? 10 : 50
const LOAD_MS = options.quick ? 1500 : 8000
const DECISIONS_MS = options.quick ? 300 : 2000
const MASKING_MS = options.quick ? 200 : 1000
const PROMPTS = options.quick ? 100 : 1000
const PORT_RUNS = options.quick ? 1 : 4
/** How long the broker is left alone before it counts as idle. */
const IDLE_MS = 2000

/** Start-up at most so many times an empty script's. */
const START_UP_FACTOR = 1.5
const EXEC_OVER_CHILD_MS = 100
const CYCLE_MS = 8
/** Of what PostgreSQL does by itself, at eight at once. */
const CYCLE_SHARE = 0.5
const OBLIGATION_MS = 10
const MEMORY_MB = { idle: 120, load: 200 }

function jit(stage: Stage, ...args: string[]): Program {
  return { file: process.execPath, args: [JIT, ...args], env: stage.env }
}

async function startUp(stage: Stage): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  try {
    const script = join(directory, 'empty.js')
    await writeFile(script, '')
    const empty = { file: process.execPath, args: [script], env: stage.env }
    const [floor = 0, version = 0, prompt = 0, status = 0] = await alternate(
      [empty, jit(stage, '--version'), jit(stage, 'prompt'), jit(stage, 'status')],
      RUNS,
    )
    const rest = {
      unit: 'ms',
      floor,
      floorIs: 'empty script',
      budget: START_UP_FACTOR * floor,
    } as const
    return [
      { what: 'jit --version', measured: version, ...rest },
      { what: 'jit prompt', measured: prompt, ...rest },
      { what: 'jit status', measured: status, ...rest },
    ]
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function exec(stage: Stage): Promise<Figure> {
  const flags = ['--env', 'dev', '--task', 'deploy', '--target', 'dev-db', '--quiet']
  const [floor = 0, measured = 0] = await alternate(
    [{ file: 'true', args: [], env: stage.env }, jit(stage, 'exec', ...flags, '--', 'true')],
    RUNS,
  )
  const budget = floor + EXEC_OVER_CHILD_MS
  return { what: 'jit exec -- true', unit: 'ms', measured, floor, floorIs: 'true', budget }
}

async function cycles(stage: Stage, atOnce: number): Promise<Figure[]> {
  const args = [String(atOnce), String(LOAD_MS)]
  const broker = (await runLoad(LOADS.lifeline, { args, env: stage.env })) as LoadResult
  const env = { ...stage.env, BENCH_POSTGRES_URL: stage.postgres }
  const floor = (await runLoad(LOADS.sql, { args, env })) as LoadResult
  const of = (share: number, budget?: number): Figure => ({
    what: `cycle, ${atOnce} at once, p${share * 100}`,
    unit: 'ms',
    measured: quantile(broker.cycles, share),
    floor: quantile(floor.cycles, share),
    floorIs: 'same SQL',
    ...(budget === undefined ? {} : { budget }),
  })
  return [
    {
      what: `cycles, ${atOnce} at once`,
      unit: 'cycles/s',
      measured: rate(broker),
      floor: rate(floor),
      floorIs: 'same SQL',
      ...(atOnce === 8 ? { budget: CYCLE_SHARE * rate(floor) } : {}),
    },
    of(0.5, atOnce === 1 ? CYCLE_MS : undefined),
    of(0.99),
  ]
}

/** What it costs that several brokers can share a ledger: one of them, beside one whose ledger is a file. */
async function sharedCycles(stage: Stage): Promise<Figure[]> {
  const args = ['8', String(LOAD_MS)]
  const env = await stage.overPostgres()
  const shared = (await runLoad(LOADS.lifeline, { args, env })) as LoadResult
  const alone = (await runLoad(LOADS.lifeline, { args, env: stage.env })) as LoadResult
  const floorIs = 'over SQLite'
  return [
    {
      what: 'cycles over PostgreSQL, 8 at once',
      unit: 'cycles/s',
      measured: rate(shared),
      floor: rate(alone),
      floorIs,
    },
    {
      what: 'cycle over PostgreSQL, p50',
      unit: 'ms',
      measured: quantile(shared.cycles, 0.5),
      floor: quantile(alone.cycles, 0.5),
      floorIs,
    },
  ]
}

function rate({ cycles, elapsed }: LoadResult): number {
  return (cycles.length / elapsed) * 1000
}

function decisions(): Figure[] {
  return [10, 100, 1000].map((count) => ({
    what: `decision, ${count.toLocaleString('en')} policies`,
    unit: 'ms',
    ...timeDecisions(count, DECISIONS_MS),
    floorIs: 'Cedar alone',
  }))
}

function obligations(): Figure[] {
  const endings: Record<Ending, string> = {
    found: 'with its obligation',
    denied: 'denied in the end',
  }
  return (Object.keys(endings) as Ending[]).flatMap((ending) =>
    [10, 100, 1000].map((policies) => ({
      what: `${endings[ending]}, ${policies.toLocaleString('en')}`,
      unit: 'ms' as const,
      ...timeObligations(ending, { policies, milliseconds: DECISIONS_MS }),
      floorIs: 'decision alone',
      ...(policies === 1000 ? { budget: OBLIGATION_MS } : {}),
    })),
  )
}

async function onStage(stage: Stage): Promise<Figure[]> {
  const memory = { unit: 'MB', floor: await memoryOfNode(), floorIs: 'Node serving' } as const
  await wait(IDLE_MS)
  const idle = await memoryOf(stage.brokerPid)
  const started = [...(await startUp(stage)), await exec(stage)]
  const { most, result } = await mostMemory(stage.brokerPid, async () => [
    ...(await cycles(stage, 1)),
    ...(await cycles(stage, 8)),
    ...(await cycles(stage, 32)),
  ])
  return [
    ...started,
    ...result,
    ...(await sharedCycles(stage)),
    ...(await timePostgresPort(stage.postgres, PORT_RUNS)),
    ...(await timeSandboxStart(stage, RUNS)),
    { what: 'broker, idle', measured: idle, ...memory, budget: MEMORY_MB.idle },
    { what: 'broker, under load', measured: most, ...memory, budget: MEMORY_MB.load },
  ]
}

async function measure(): Promise<Figure[]> {
  const { profile } = options
  const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
  await using stage = await setStage(flags)
  return [
    ...(await onStage(stage)),
    ...decisions(),
    ...obligations(),
    ...(await timeMasking(MASKING_MS)),
    ...(await timePrompt(PROMPTS)),
  ]
}

const figures = await measure()
process.stdout.write(
  options.json
    ? `${JSON.stringify(figures.map((figure) => ({ ...figure, met: met(figure) })))}\n`
    : `${table(figures)}\n`,
)
