import { resolve } from 'node:path'
import type { Command } from 'commander'
import { JitError } from '../../lib/errors.ts'
import { escapeForDisplay } from '../../lib/escape.ts'
import { examine, type Finding } from '../../lib/finding.ts'
import type { Deps } from '../deps.ts'
import { EXIT } from '../exit-codes.ts'
import type { Exit } from '../program.ts'
import { symbolsFor } from '../symbols.ts'

interface DoctorOptions {
  readonly broker?: boolean
  readonly config?: string
  readonly json?: boolean
}

/** `jit doctor`: why it doesn't work, and what to do. */
export function registerDoctor(program: Command, deps: Deps, exit: Exit): void {
  program
    .command('doctor')
    .description('look for what is wrong, and say what to do about it')
    .option('--broker', 'of a broker, on its own machine: store, keys, policies, targets')
    .option('--config <file>', 'with --broker: its broker.yaml')
    .option('--json', 'print one JSON object')
    .action(async (options: DoctorOptions) => exit(await runDoctor(options, deps)))
}

/** @returns 1 where there is a problem */
export async function runDoctor(options: DoctorOptions, deps: Deps): Promise<number> {
  const { broker, config } = options
  if (broker !== (config !== undefined || undefined)) {
    throw new JitError('usage', '--broker and --config FILE go together', {
      hint: 'without both, this machine and the way to its broker are looked at',
    })
  }
  const { progressOn } = await import('../progress.ts')
  const looking = config === undefined ? lookHere(deps) : lookAtBroker(config, deps)
  const progress = progressOn(deps, { quiet: options.json })
  const findings = await progress.during('looking', looking)
  const ok = findings.every(({ state }) => state !== 'problem')
  if (options.json) deps.io.out(JSON.stringify({ ok, findings }))
  else for (const line of linesOf(findings, deps)) deps.io.out(line)
  return ok ? EXIT.ok : EXIT.error
}

async function lookHere(deps: Deps): Promise<Finding[]> {
  const { lookAtMachine } = await import('../doctor/machine.ts')
  const { lookAtBroker } = await import('../doctor/reach.ts')
  return [...(await lookAtBroker(deps)), ...(await lookAtMachine(deps))]
}

/** As the broker would start: with its user, its environment and its files. */
async function lookAtBroker(file: string, { cwd, env, clock }: Deps): Promise<Finding[]> {
  const { loadConfig } = await import('../../broker/config/load.ts')
  const { targetKinds } = await import('../../targets/kinds.ts')
  const { diagnose } = await import('../../broker/diagnosis.ts')
  const path = resolve(cwd, file)
  let config: Awaited<ReturnType<typeof loadConfig>> | undefined
  const read = await examine('configuration', async () => {
    config = await loadConfig(path, targetKinds)
    return { state: 'ok', message: path }
  })
  return config ? [read, ...(await diagnose({ config, env, now: clock.now() }))] : [read]
}

function linesOf(findings: readonly Finding[], { io, env }: Deps): string[] {
  const { outStyle: style } = io
  const symbols = symbolsFor(env)
  const marks = {
    ok: style.green(symbols.done),
    note: style.dim(symbols.asks),
    warning: style.yellow(symbols.attention),
    problem: style.red(symbols.failed),
  }
  const width = Math.max(...findings.map(({ check }) => check.length))
  return findings.flatMap(({ check, state, message, hint }) => [
    `${marks[state]} ${escapeForDisplay(check).padEnd(width)}  ${escapeForDisplay(message)}`,
    ...(hint ? [`  ${' '.repeat(width)}  ${style.dim(`next: ${escapeForDisplay(hint)}`)}`] : []),
  ])
}
