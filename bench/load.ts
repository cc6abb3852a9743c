import { performance } from 'node:perf_hooks'

/** What a load has seen, in milliseconds. */
export interface LoadResult {
  readonly cycles: readonly number[]
  readonly elapsed: number
}

/** Cycles that are not counted: connections open, code is compiled. */
const WARM_UP = 64

/** Repeats a cycle, so many at once, for so many milliseconds. `worker` is below `atOnce`. */
export async function repeat(
  cycle: (worker: number) => Promise<void>,
  { atOnce, milliseconds }: { atOnce: number; milliseconds: number },
): Promise<LoadResult> {
  const workers = Array.from({ length: atOnce }, (_, worker) => worker)
  await Promise.all(
    workers.map(async (worker) => {
      for (let done = 0; done < WARM_UP / atOnce; done += 1) await cycle(worker)
    }),
  )
  const cycles: number[] = []
  const start = performance.now()
  await Promise.all(
    workers.map(async (worker) => {
      while (performance.now() - start < milliseconds) {
        const began = performance.now()
        await cycle(worker)
        cycles.push(performance.now() - began)
      }
    }),
  )
  return { cycles, elapsed: performance.now() - start }
}

/** What a load process is told: how many at once, for how many milliseconds. */
export function readLoad(argv: readonly string[]): { atOnce: number; milliseconds: number } {
  return { atOnce: Number(argv[0]), milliseconds: Number(argv[1]) }
}
