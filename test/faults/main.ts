/**
 * The faults, each tried for real, and what was counted in one table.
 *
 *     npm run test:faults [-- [--runs N] [--json] [FILE…]]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { printed } from './table.ts'
import { type Counted, tallyEnvironment } from './tally.ts'

const VITEST = resolve(import.meta.dirname, '../../node_modules/vitest/vitest.mjs')

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string' }, json: { type: 'boolean', default: false } },
})
if (options.runs !== undefined && !/^[1-9]\d*$/.test(options.runs)) {
  throw new Error(`--runs: expected a number from 1 up, not '${options.runs}'`)
}

/** Few at once: what is bounded by time must not wait for what else is tried. */
const AT_ONCE = 2

/** Runs the cases; stdout is for what was counted where a program reads it. @returns the exit code */
async function run(tally: string): Promise<number> {
  const flags = ['run', '--project', 'faults', '--maxWorkers', String(AT_ONCE)]
  const vitest = spawn(process.execPath, [VITEST, ...flags, ...files], {
    stdio: ['ignore', options.json ? 2 : 1, 2],
    env: { ...process.env, ...tallyEnvironment(tally, options.runs) },
  })
  const [code] = (await once(vitest, 'exit')) as [number | null]
  return code ?? 1
}

const folder = mkdtempSync(join(tmpdir(), 'jit-faults-'))
try {
  const tally = join(folder, 'tally.jsonl')
  writeFileSync(tally, '')
  process.exitCode = await run(tally)
  const lines = readFileSync(tally, 'utf8').split('\n').filter(Boolean)
  const rows = lines
    .map((line) => JSON.parse(line) as Counted)
    .sort((a, b) => a.fault.localeCompare(b.fault) || (a.store ?? '').localeCompare(b.store ?? ''))
  process.stdout.write(options.json ? `${JSON.stringify(rows)}\n` : printed(rows))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
