import { existsSync } from 'node:fs'
import { JitError } from '../lib/errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where a job's identity token comes from. */
export type WorkloadSource =
  /** Made by GitHub each time it is asked. */
  | { readonly kind: 'github' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }

/** Where a token is mounted, unless something else is said. */
const MOUNTED = '/var/run/secrets/tokens/jit'

/**
 * @param text `github`, `gitlab`, `spiffe`, `kubernetes`, `env:NAME` or `file:PATH`
 * @throws JitError `usage`
 */
export function workloadSource(text: string): WorkloadSource {
  if (text === 'github') return { kind: 'github' }
  if (text === 'gitlab') return { kind: 'variable', name: 'JIT_ID_TOKEN' }
  if (text === 'spiffe' || text === 'kubernetes') return { kind: 'file', path: MOUNTED }
  const [, kind, rest = ''] = /^(env|file):(.+)$/s.exec(text) ?? []
  if (kind === 'env' && /^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)) {
    return { kind: 'variable', name: rest }
  }
  if (kind === 'file') return { kind: 'file', path: rest }
  throw new JitError('usage', `'${text}' is no source of a job's identity token`, {
    hint: 'it may be github, gitlab, spiffe, kubernetes, env:NAME or file:PATH (--workload=github)',
  })
}

/** What this process seems to run in. */
export interface DetectedWorkload {
  /** As {@link workloadSource} takes it. */
  readonly source: string
  /** Whether it is a job for sure: it acts as itself then, never as a person who signed in here. */
  readonly sure: boolean
}

/** By `JIT_WORKLOAD`, by the variables that GitHub and GitLab set, or by a token mounted for `jit`. */
export function detectWorkload(env: Environment): DetectedWorkload | undefined {
  if (env.JIT_WORKLOAD) return { source: env.JIT_WORKLOAD, sure: true }
  if (env.GITHUB_ACTIONS === 'true') return { source: 'github', sure: true }
  if (env.GITLAB_CI === 'true') return { source: 'gitlab', sure: true }
  const mounted = env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(MOUNTED)
  return mounted ? { source: 'kubernetes', sure: false } : undefined
}

/** Names the job, so that a session kept by one isn't used by the next on the same machine. */
export function jobOf(env: Environment): string {
  const { GITHUB_REPOSITORY, GITHUB_RUN_ID, GITHUB_RUN_ATTEMPT, GITHUB_JOB } = env
  if (env.GITHUB_ACTIONS === 'true') {
    return [GITHUB_REPOSITORY, GITHUB_RUN_ID, GITHUB_RUN_ATTEMPT, GITHUB_JOB].join('/')
  }
  return env.GITLAB_CI === 'true' ? `${env.CI_PROJECT_ID}/${env.CI_JOB_ID}` : ''
}
