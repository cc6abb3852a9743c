import { FakeProvider, NOW } from './provider.ts'

export const AUDIENCE = 'https://jit.acme.dev'
export const COMMIT = '4f2a9c0e4f2a9c0e4f2a9c0e4f2a9c0e4f2a9c0e'

/** What each issuer puts into its tokens, as its documentation shows them. */
export const CLAIMS = {
  github: {
    sub: 'repo:acme/shop:environment:production',
    repository: 'acme/shop',
    repository_id: '12345',
    repository_owner: 'acme',
    repository_owner_id: '678',
    repository_visibility: 'private',
    ref: 'refs/heads/main',
    ref_type: 'branch',
    ref_protected: 'true',
    sha: COMMIT,
    actor: 'dana',
    actor_id: '99',
    run_id: '1',
    environment: 'production',
    event_name: 'push',
    workflow_ref: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
    job_workflow_ref: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
    runner_environment: 'github-hosted',
  },
  gitlab: {
    sub: 'project_path:acme/team/shop:ref_type:branch:ref:main',
    project_path: 'acme/team/shop',
    project_id: '22',
    namespace_path: 'acme/team',
    namespace_id: '72',
    ref: 'main',
    ref_type: 'branch',
    ref_path: 'refs/heads/main',
    ref_protected: 'true',
    sha: COMMIT,
    user_login: 'dana',
    user_id: '1',
    pipeline_id: '574',
    pipeline_source: 'push',
    job_id: '302',
    environment: 'production',
  },
  spiffe: { iss: undefined, sub: 'spiffe://acme.dev/ci/deployer' },
  kubernetes: {
    sub: 'system:serviceaccount:ci:deployer',
    'kubernetes.io': {
      namespace: 'ci',
      pod: { name: 'deploy-1', uid: '5e0bd49b-f040-43b0-99b7-22765a53f7f3' },
      serviceaccount: { name: 'deployer', uid: '14ee3fa4-a7e2-420f-9f9a-dbc4507c3798' },
    },
  },
} as const
export type Kind = keyof typeof CLAIMS

const ISSUERS = {
  github: 'https://token.actions.githubusercontent.com',
  gitlab: 'https://gitlab.com',
  spiffe: 'https://spire.acme.dev',
  kubernetes: 'https://kubernetes.default.svc',
} as const

/** An issuer of pipelines' tokens with a key of its own. */
export class PipelineIssuer {
  readonly provider: FakeProvider
  readonly #kind: Kind
  readonly #audience: string

  private constructor(kind: Kind, { issuer, audience }: { issuer: string; audience: string }) {
    this.provider = new FakeProvider(issuer)
    this.#kind = kind
    this.#audience = audience
  }

  static async start(
    kind: Kind,
    { issuer = ISSUERS[kind], audience = AUDIENCE }: { issuer?: string; audience?: string } = {},
  ): Promise<PipelineIssuer> {
    const started = new PipelineIssuer(kind, { issuer, audience })
    await started.provider.rotate(`${kind}-1`, kind === 'spiffe' ? 'ES256' : 'RS256')
    return started
  }

  /** A token as this issuer makes them, with what a test wants otherwise. */
  token(
    claims: Record<string, unknown> = {},
    { now = NOW, header = {} }: { now?: number; header?: Record<string, unknown> } = {},
  ): Promise<string> {
    const own = CLAIMS[this.#kind]
    const times = { iat: now, nbf: now, exp: now + 3600, auth_time: undefined }
    const made = { ...times, jti: crypto.randomUUID(), aud: this.#audience }
    return this.provider.sign({ ...made, ...own, ...claims }, header)
  }
}
