import type { Command } from 'commander'
import { JitError } from '../../../lib/errors.ts'
import { escapeForDisplay } from '../../../lib/escape.ts'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import type { Exit } from '../../program.ts'
import { openPolicies, type PlaceOptions, shortPath, takesPlace } from './place.ts'

type CaseResult = import('../../../policy/case-run.ts').CaseResult
type Coverage = import('../../../policy/coverage.ts').Coverage

export interface PolicyTestOptions extends PlaceOptions {
  readonly minCoverage?: string
  readonly json?: boolean
}

export function registerPolicyTest(policy: Command, deps: Deps, exit: Exit): void {
  takesPlace(policy.command('test'))
    .description('run the *.cases.yaml beside the policies: requests, and what should come of them')
    .option('--min-coverage <percent>', 'fail when fewer of the policies decide in some case')
    .option('--json', 'print one JSON object')
    .action(async (dir: string | undefined, options: Omit<PolicyTestOptions, 'dir'>) =>
      exit(await runPolicyTest({ ...options, ...(dir === undefined ? {} : { dir }) }, deps)),
    )
}

/**
 * Runs the cases of a folder of policies.
 * @returns 1 when one came otherwise, or too few policies are covered
 * @throws JitError `policy_invalid`, `config_invalid`, `usage`
 */
export async function runPolicyTest(options: PolicyTestOptions, deps: Deps): Promise<number> {
  const least = percentOf(options.minCoverage)
  const { config, dir, inventory, policies } = await openPolicies(options, deps)
  const { loadCases } = await import('../../../policy/cases.ts')
  const { runCase } = await import('../../../policy/case-run.ts')
  const { coverageOf } = await import('../../../policy/coverage.ts')
  const cases = await loadCases(dir, { inventory, policies })
  const results = cases.map((one) => runCase(one, policies))
  const coverage = coverageOf(results, policies)
  const failed = results.filter(({ problems }) => problems.length > 0)
  const ok = failed.length === 0 && coverage.percent >= least
  if (options.json) {
    const { version } = policies
    const shown = results.map((result) => resultJson(result, deps))
    deps.io.out(JSON.stringify({ ok, version, config, cases: shown, coverage }))
  } else {
    print({ total: results.length, failed, coverage, least }, deps)
  }
  return ok ? EXIT.ok : EXIT.error
}

/** @throws JitError `usage` */
function percentOf(text = '0'): number {
  if (/^(?:100|\d{1,2})%?$/.test(text)) return Number.parseInt(text, 10)
  throw new JitError('usage', `--min-coverage '${text}': expected a percentage from 0 to 100`)
}

function resultJson({ case: one, ruling, problems }: CaseResult, deps: Deps) {
  return {
    file: shortPath(one.file, deps),
    line: one.line,
    name: one.name,
    ok: problems.length === 0,
    problems,
    decision: ruling.decision,
    policies: [...new Set(ruling.answers.flatMap(({ decision }) => decision.policies))].sort(),
    ...(ruling.obligation ? { obligation: ruling.obligation.wants } : {}),
  }
}

function print(
  report: {
    total: number
    failed: readonly CaseResult[]
    coverage: Coverage
    least: number
  },
  deps: Deps,
): void {
  const { total, failed, coverage, least } = report
  const say = (line: string) => deps.io.out(escapeForDisplay(line))
  for (const { case: one, problems } of failed) {
    say(`${shortPath(one.file, deps)}:${one.line}: ${one.name}: ${problems.join('; ')}`)
  }
  for (const { id, at } of coverage.uncovered) {
    say(`${shortPath(at, deps)}: ${id} decides in no case`)
  }
  const cases = total === 1 ? '1 case' : `${total} cases`
  const outcome = failed.length === 0 ? 'as expected' : `${failed.length} otherwise than expected`
  const { covered, policies, percent } = coverage
  const wanted = percent < least ? `, expected at least ${least}%` : ''
  say(`${cases}, ${outcome}; ${covered} of ${policies} policies covered (${percent}%${wanted})`)
}
