import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { startSandbox } from '../src/sandbox/sandbox.ts'
import type { Figure } from './figure.ts'
import { JIT, type Stage } from './stage.ts'
import { median } from './statistics.ts'

/** At most so much over bubblewrap by itself, in ms. */
const OVER_BWRAP = 150
const WARM_UP = 3
const BARE = ['--ro-bind', '/', '/', '--dev', '/dev', '--unshare-all', '--proc', '/proc', 'true']

/**
 * `true` in a bubblewrap alone, in a sandbox that this process starts, and by `jit sandbox`, in turn:
 * each from before it is started until it has ended and nothing is left of it.
 */
export async function timeSandboxStart(stage: Stage, runs: number): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'jit-bench-'))
  const repository = join(folder, 'shop')
  await mkdir(repository)
  const ways = [
    () => ended('bwrap', BARE, stage.env),
    () => inSandbox({ folder: join(folder, 'run'), repository, environment: stage.env }),
    () => ended(process.execPath, [JIT, 'sandbox', '--', 'true'], stage.env, repository),
  ]
  const times = ways.map((): number[] => [])
  try {
    for (let run = -WARM_UP; run < runs; run += 1) {
      for (const [at, way] of ways.entries()) {
        const began = performance.now()
        await way()
        if (run >= 0) times[at]?.push(performance.now() - began)
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const [floor = 0, started = 0, whole = 0] = times.map(median)
  const beside = { unit: 'ms', floor, floorIs: 'bwrap -- true' } as const
  return [
    { what: 'a sandbox for true', measured: started, ...beside, budget: floor + OVER_BWRAP },
    { what: 'jit sandbox -- true', measured: whole, ...beside },
  ]
}

async function ended(
  file: string,
  args: readonly string[],
  env: Stage['env'],
  cwd = '/',
): Promise<void> {
  const [code] = await once(spawn(file, args, { env, cwd, stdio: 'ignore' }), 'exit')
  if (code !== 0) throw new Error(`${file} ${args.join(' ')} ended with ${code}`)
}

async function inSandbox({
  folder,
  repository,
  environment,
}: {
  folder: string
  repository: string
  environment: Stage['env']
}): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const link = join(folder, 'link')
  const server = createServer().listen(link)
  await once(server, 'listening')
  const sandbox = await startSandbox({
    command: { argv: ['true'], directory: repository, executable: '/bin/true' },
    environment,
    profile: { readable: [], writable: [], hidden: [], readOnly: [], environment: [] },
    domains: [],
    link,
    folder,
    broker: 'https://broker.example.com',
  })
  const { code } = await sandbox.outcome
  await sandbox.stop()
  server.close()
  if (code !== 0) throw new Error(`true in a sandbox ended with ${code}`)
}
