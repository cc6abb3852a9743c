import { resolve } from 'node:path'
import { sharedCluster } from './servers/postgres.ts'

/**
 * What the end-to-end tests share. The program is built once: they run what users run. What Node compiles
 * of it is kept for all that they start, a third of a command's time in a home of its own.
 */
export default async function build(): Promise<() => Promise<void>> {
  process.env.NODE_COMPILE_CACHE = resolve('node_modules/.cache/compiled')
  await import('../scripts/build.ts')
  return sharedCluster()
}
