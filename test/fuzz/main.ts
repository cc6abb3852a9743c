/**
 * Feeds what parses foreign bytes with what nobody meant to send.
 *
 *     npm run test:fuzz [-- [--runs N] [--seed N] [FILE…]]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

const VITEST = resolve(import.meta.dirname, '../../node_modules/vitest/vitest.mjs')

const { values, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string' }, seed: { type: 'string' } },
})
for (const [name, value] of Object.entries(values)) {
  if (!/^\d{1,9}$/.test(value)) throw new Error(`--${name}: expected a number, not '${value}'`)
}
const runs = values.runs ?? '100'
const seed = values.seed ?? String(Math.floor(Math.random() * 1e9))
process.stdout.write(`${runs} inputs to each property; again: --runs ${runs} --seed ${seed}\n`)
const vitest = spawn(process.execPath, [VITEST, 'run', '--project', 'fuzz', ...files], {
  stdio: 'inherit',
  env: { ...process.env, JIT_FUZZ_RUNS: runs, JIT_FUZZ_SEED: seed },
})
const [code] = (await once(vitest, 'exit')) as [number | null]
process.exitCode = code ?? 1
