import type { Deps } from './deps.ts'

/** Does what was left for the end, once; whether it works out is nobody's concern any more. */
export async function settle({ atExit }: Pick<Deps, 'atExit'>): Promise<void> {
  const left = [...atExit]
  atExit.clear()
  await Promise.allSettled(left.map((finish) => finish()))
}
