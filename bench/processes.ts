import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { median } from './statistics.ts'

export interface Program {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Runs that are not counted: caches fill. */
const WARM_UP = 3

/** Runs programs in turn, so that what else the machine does meets all alike. @returns the median of each, in ms */
export async function alternate(programs: readonly Program[], runs: number): Promise<number[]> {
  const times = programs.map((): number[] => [])
  for (let run = -WARM_UP; run < runs; run += 1) {
    for (const [at, program] of programs.entries()) {
      const time = await timeOf(program)
      if (run >= 0) times[at]?.push(time)
    }
  }
  return times.map(median)
}

/** From before the process is made until it has ended. */
async function timeOf({ file, args, env }: Program): Promise<number> {
  const began = performance.now()
  const [code] = await once(spawn(file, args, { env, stdio: 'ignore' }), 'exit')
  const time = performance.now() - began
  if (code !== 0) throw new Error(`${[file, ...args].join(' ')} ended with ${code}`)
  return time
}

/** Runs a load in a process of its own, and reads the JSON that it prints. */
export async function runLoad(script: URL, program: Omit<Program, 'file'>): Promise<unknown> {
  const child = spawn(process.execPath, [fileURLToPath(script), ...program.args], {
    env: program.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  let text = ''
  for await (const chunk of child.stdout) text += String(chunk)
  const [code] = await exited
  if (code !== 0) throw new Error(`${script.pathname} ended with ${code}`)
  return JSON.parse(text)
}
