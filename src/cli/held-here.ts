import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Paths } from '../lib/paths.ts'

/** Ids of the grants that commands on this machine run on: those that left a marker for the prompt. */
export async function heldHere({ runtime }: Pick<Paths, 'runtime'>): Promise<ReadonlySet<string>> {
  const names = await readdir(join(runtime, 'grants')).catch(() => [])
  return new Set(names.filter((name) => !name.startsWith('.')))
}
