import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { JitError } from '../../../lib/errors.ts'
import { escapeForDisplay } from '../../../lib/escape.ts'
import { nearest } from '../../../lib/nearest.ts'
import { parse } from '../../../protocol/parse.ts'
import type { Deps } from '../../deps.ts'
import { EXIT } from '../../exit-codes.ts'
import { explanationLines, grantExplanationLines } from '../../explanation-text.ts'
import type { Exit } from '../../program.ts'
import { openPolicies } from './place.ts'
import { givesRequest, type RequestFlags, requestFlags, writtenBy } from './request-flags.ts'

type Stated = import('../../../policy/stated-request.ts').Stated
type Opened = Awaited<ReturnType<typeof openPolicies>>

export interface PolicyExplainOptions extends RequestFlags {
  readonly grant?: string
  readonly case?: string
  readonly config?: string
  readonly json?: boolean
}

export function registerPolicyExplain(policy: Command, deps: Deps, exit: Exit): void {
  const command = policy
    .command('explain')
    .description('why policy says what it says: of a grant, a case, or a request given by flags')
    .argument('[grant]', "a grant's id: the broker is asked")
    .option('--case <case>', 'a case of a *.cases.yaml file: FILE#NAME')
    .option('--config <file>', "the broker's configuration (broker.yaml beside the case, or here)")
  requestFlags(command)
    .option('--json', 'print one JSON object')
    .action(async (grant: string | undefined, options: Omit<PolicyExplainOptions, 'grant'>) =>
      exit(await runPolicyExplain({ ...options, ...(grant === undefined ? {} : { grant }) }, deps)),
    )
}

/**
 * Says which policies decide, by which attributes, and what would change it.
 * @throws JitError `usage`, `policy_invalid`, `config_invalid`; for a grant whatever the broker answers
 */
export async function runPolicyExplain(options: PolicyExplainOptions, deps: Deps): Promise<number> {
  if (options.grant !== undefined) return explainGrant(options.grant, options, deps)
  const { stated, policies, what } = options.case
    ? await ofCase(options.case, options, deps)
    : await ofFlags(options, deps)
  const { explain } = await import('../../../policy/explain.ts')
  const explanation = explain(stated, policies)
  if (options.json) deps.io.out(JSON.stringify(explanation))
  else print(explanationLines(what, explanation), deps)
  return EXIT.ok
}

async function explainGrant(
  id: string,
  options: PolicyExplainOptions,
  deps: Deps,
): Promise<number> {
  if (options.case !== undefined || givesRequest(options)) {
    throw new JitError('usage', 'a grant, a case and a request by flags exclude each other')
  }
  const { connect } = await import('../../connect.ts')
  const { client } = await connect(deps, { tells: !options.json })
  const explanation = await client.explain(id)
  if (options.json) deps.io.out(JSON.stringify(explanation))
  else print(grantExplanationLines(explanation), deps)
  return EXIT.ok
}

function print(lines: readonly string[], { io }: Deps): void {
  for (const line of lines) io.out(escapeForDisplay(line))
}

type Explained = Pick<Opened, 'policies'> & { readonly stated: Stated; readonly what: string }

async function ofCase(
  text: string,
  { config }: PolicyExplainOptions,
  deps: Deps,
): Promise<Explained> {
  const [, path, name] = /^([^#]+)#(.+)$/s.exec(text) ?? []
  if (path === undefined) {
    throw new JitError('usage', `--case '${text}': expected FILE#NAME`)
  }
  const file = resolve(deps.cwd, path)
  const place = config === undefined ? { beside: dirname(file) } : { config }
  const opened = await openPolicies(place, deps)
  const { loadCaseFile } = await import('../../../policy/cases.ts')
  const cases = await loadCaseFile(file, opened)
  const found = cases.find((one) => one.name === name)
  if (found) return { ...opened, stated: found.stated, what: found.name }
  const names = cases.map((one) => one.name)
  const meant = nearest(name ?? '', names)
  throw new JitError('usage', `${path} has no case '${name}'`, {
    hint: meant ? `did you mean '${meant}'?` : `there are: ${names.join('; ')}`,
  })
}

async function ofFlags(options: PolicyExplainOptions, deps: Deps): Promise<Explained> {
  const { task, env, config } = options
  if (task === undefined) {
    throw new JitError('usage', 'nothing to explain', {
      hint: 'give the id of a grant, --case FILE#NAME, or --task with --env',
    })
  }
  const opened = await openPolicies(config === undefined ? {} : { config }, deps)
  const { StatedRequest } = await import('../../../policy/stated-schema.ts')
  const { stateRequest } = await import('../../../policy/stated-request.ts')
  const written = parse(StatedRequest, writtenBy(options), { what: 'request', code: 'usage' })
  const stated = stateRequest(written, {
    inventory: opened.inventory,
    principals: {},
    context: {},
    refuse: ({ path, message }) => {
      throw new JitError('usage', path.length > 0 ? `${path.join('.')}: ${message}` : message)
    },
  })
  return { ...opened, stated, what: env === undefined ? task : `${task} in ${env}` }
}
