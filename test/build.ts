import { resolve } from 'node:path'

/**
 * Builds the program once before the end-to-end tests: they run what users run. What Node compiles of
 * it is kept for all that they start, a third of a command's time in a home of its own.
 */
export default async function build(): Promise<void> {
  process.env.NODE_COMPILE_CACHE = resolve('node_modules/.cache/compiled')
  await import('../scripts/build.ts')
}
