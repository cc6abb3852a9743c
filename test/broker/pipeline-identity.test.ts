import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createIdentityProviders, type IdentityProviders } from '../../src/broker/identity.ts'
import { JitError } from '../../src/lib/errors.ts'
import { read, withIdentity } from './config/sample.ts'
import { AUDIENCE, COMMIT, type Kind, PipelineIssuer } from './pipeline-tokens.ts'
import { NOW, type StillClock, stillClock } from './provider.ts'

const FILE: Record<Kind, string> = {
  github: `
  - issuer: https://token.actions.githubusercontent.com
    kind: pipeline
    repositories:
      github.com/acme/shop:
        id: 12345
        owner_id: 678
        groups:
          shop-pipelines: {}
          shop-release: { environment: production, event_name: [push, workflow_dispatch] }`,
  gitlab: `
  - issuer: https://gitlab.com
    kind: pipeline
    repositories:
      gitlab.com/acme/team/shop: { id: '22', owner_id: '72', groups: { shop-pipelines: {} } }`,
  spiffe: `
  - issuer: spiffe://acme.dev
    kind: pipeline
    jwks_uri: https://spire.acme.dev/jwks
    subjects: { 'spiffe://acme.dev/ci/deployer': { groups: { shop-pipelines: {} } } }`,
  kubernetes: `
  - issuer: https://kubernetes.default.svc
    kind: pipeline
    type: kubernetes
    subjects:
      system:serviceaccount:ci:deployer:
        uid: 14ee3fa4-a7e2-420f-9f9a-dbc4507c3798
        groups: { shop-pipelines: {} }`,
}

let clock: StillClock
let issuer: PipelineIssuer
let identities: IdentityProviders

async function start(kind: Kind, text = FILE[kind]): Promise<void> {
  clock = stillClock()
  issuer = await PipelineIssuer.start(kind)
  const { identity: providers, pipelines } = read(withIdentity(text))
  identities = createIdentityProviders({
    providers,
    pipelines,
    clock,
    fetch: issuer.provider.fetch,
  })
}

async function refused(token: Promise<string> | string, message: RegExp): Promise<JitError> {
  const thrown = await identities.verifyIdToken(await token).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(JitError)
  expect(thrown).toMatchObject({ code: 'token_invalid', message: expect.stringMatching(message) })
  return thrown as JitError
}

describe('GitHub Actions', () => {
  beforeEach(() => start('github'))

  test('says which repository, branch and commit run, and who set them off', async () => {
    expect(await identities.verifyIdToken(await issuer.token())).toMatchObject({
      kind: 'pipeline',
      id: 'token.actions.githubusercontent.com/repository_id:12345',
      name: 'acme/shop · deploy.yml',
      clientId: 'github',
      groups: ['shop-pipelines', 'shop-release'],
      triggeredBy: 'dana',
      signed: { repository: 'github.com/acme/shop', branch: 'main', commit: COMMIT },
      uses: 'once',
    })
  })

  test('a tag or a pull request is no branch, whatever it is called', async () => {
    const branch = async (claims: Record<string, unknown>) =>
      (await identities.verifyIdToken(await issuer.token(claims))).signed?.branch
    expect(await branch({ ref: 'refs/tags/main', ref_type: 'tag' })).toBe('')
    expect(await branch({ ref: 'refs/pull/1/merge', ref_type: 'branch' })).toBe('')
    expect(await branch({ ref: 'refs/heads/main', ref_type: 'tag' })).toBe('')
    expect(await branch({ ref: 'refs/heads/release/v1' })).toBe('release/v1')
    expect(await branch({ ref: undefined, ref_type: undefined })).toBe('')
  })

  test('a group is only for tokens that say what it asks for', async () => {
    const groups = async (claims: Record<string, unknown>) =>
      (await identities.verifyIdToken(await issuer.token(claims))).groups
    expect(await groups({ environment: 'staging' })).toEqual(['shop-pipelines'])
    expect(await groups({ environment: undefined })).toEqual(['shop-pipelines'])
    expect(await groups({ environment: ['production'] })).toEqual(['shop-pipelines'])
    expect(await groups({ event_name: 'schedule' })).toEqual(['shop-pipelines'])
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a repository that is not listed', { repository: 'acme/blog' }, /not listed/],
    ['a repository made again under the old name', { repository_id: '99' }, /another id/],
    ['an owner that took over the name', { repository_owner_id: '99' }, /another id/],
    ['a repository that was renamed', { repository: 'acme/store' }, /not listed/],
    ['a repository that differs in case', { repository: 'Acme/Shop' }, /not listed/],
    ['a name of all objects', { repository: 'constructor/shop' }, /not listed/],
    ['no repository', { repository: undefined }, /repository: expected/],
    ['no id', { repository_id: undefined }, /repository_id: expected/],
    ['another audience', { aud: 'https://sts.amazonaws.com' }, /another audience/],
    ['several audiences', { aud: [AUDIENCE, 'https://other.dev'] }, /several audiences/],
    ['no audience', { aud: undefined }, /another audience/],
    ['a commit that is none', { sha: 'main' }, /sha: expected a commit/],
    ['an expired token', { exp: NOW - 60 }, /expired/],
    ['a token of the future', { iat: NOW + 3600 }, /iat/],
    ['a token older than 5 minutes', { iat: NOW - 400 }, /more than 5 minutes ago/],
    ['a change from outside', { event_name: 'pull_request_target' }, /pull_request_target/],
  ])('%s is refused', async (_, claims, message) => {
    await refused(issuer.token(claims), message)
  })

  test('a refused audience says which one the broker takes', async () => {
    const error = await refused(issuer.token({ aud: 'x' }), /another audience/)
    expect(error.hint).toContain(AUDIENCE)
  })

  test('alg none, HS256 with the public key, and another issuer under this name are refused', async () => {
    const [, payload] = (await issuer.token()).split('.')
    const none = Buffer.from('{"alg":"none"}').toString('base64url')
    await refused(`${none}.${payload}.`, /identity token/)
    const key = new TextEncoder().encode(JSON.stringify(issuer.provider.published[0]))
    const claims = JSON.parse(Buffer.from(String(payload), 'base64url').toString())
    await refused(
      new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'github-1' }).sign(key),
      /algorithm/,
    )
    const other = await PipelineIssuer.start('github')
    await refused(other.token(), /signature does not fit/)
    await refused(issuer.token({}, { header: { typ: 'at+jwt' } }), /typ/)
  })

  test('what is asked of all of a repository’s tokens is asked of each', async () => {
    await start(
      'github',
      FILE.github.replace(
        'owner_id: 678',
        'owner_id: 678\n        claims: { environment: production, event_name: [push, pull_request_target] }',
      ),
    )
    await refused(issuer.token({ environment: 'staging' }), /claims that are asked for/)
    await identities.verifyIdToken(await issuer.token())
    // Listed by name, so somebody thought of it.
    await identities.verifyIdToken(await issuer.token({ event_name: 'pull_request_target' }))
  })

  test('metadata say what tokens have to be made for', () => {
    expect(identities.metadata()).toContainEqual({
      issuer: 'https://token.actions.githubusercontent.com',
      clients: {},
      scopes: [],
      verification_hosts: [],
      audience: AUDIENCE,
    })
  })
})

describe('GitLab', () => {
  beforeEach(() => start('gitlab'))

  test('says which project, branch and commit run, and who set them off', async () => {
    expect(await identities.verifyIdToken(await issuer.token())).toMatchObject({
      kind: 'pipeline',
      id: 'gitlab.com/project_id:22',
      name: 'acme/team/shop · pipeline 574',
      groups: ['shop-pipelines'],
      triggeredBy: 'dana',
      signed: { repository: 'gitlab.com/acme/team/shop', branch: 'main', commit: COMMIT },
      uses: 'one-at-a-time',
    })
  })

  test('a merge request from a fork whose branch is called main is not on main', async () => {
    const fork = { ref: 'main', ref_type: 'branch', ref_path: 'refs/merge-requests/7/head' }
    const { signed } = await identities.verifyIdToken(await issuer.token(fork))
    expect(signed?.branch).toBe('')
  })

  test('is taken for an hour, as long as it has not expired', async () => {
    await identities.verifyIdToken(await issuer.token({ iat: NOW - 3000 }))
    await refused(issuer.token({ iat: NOW - 4000 }), /more than 60 minutes ago/)
    await refused(issuer.token({ iat: NOW - 3000, exp: NOW - 60 }), /expired/)
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a project made again under the old name', { project_id: '23' }, /another id/],
    ['a project that moved to another namespace of that name', { namespace_id: '9' }, /another id/],
    ['a project that is not listed', { project_path: 'acme/shop' }, /not listed/],
    ['another audience', { aud: 'https://gitlab.com' }, /another audience/],
  ])('%s is refused', async (_, claims, message) => {
    await refused(issuer.token(claims), message)
  })
})

describe('SPIFFE', () => {
  beforeEach(() => start('spiffe'))

  test('a JWT-SVID is known by its subject, and has no repository', async () => {
    const token = await issuer.token({}, { header: { typ: 'JOSE' } })
    expect(await identities.verifyIdToken(token)).toMatchObject({
      kind: 'pipeline',
      id: 'acme.dev/ci%2Fdeployer',
      name: 'spiffe://acme.dev/ci/deployer',
      groups: ['shop-pipelines'],
      signed: { repository: '', branch: '', commit: '' },
      uses: 'one-at-a-time',
    })
  })

  test('keys of a trust bundle are taken by what they are for', async () => {
    const [key] = issuer.provider.published
    issuer.provider.published = [{ ...key, use: 'x509-svid' } as never]
    await refused(issuer.token(), /does not list/)
    issuer.provider.published = [{ ...key, use: 'jwt-svid' } as never]
    clock.seconds += 15
    await identities.verifyIdToken(await issuer.token())
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['another workload', { sub: 'spiffe://acme.dev/ci/other' }, /not listed/],
    ['another trust domain', { sub: 'spiffe://evil.dev/ci/deployer' }, /not configured/],
    ['no path', { sub: 'spiffe://acme.dev' }, /SPIFFE ID/],
    [
      'an address that is none',
      { sub: 'spiffe://acme.dev/ci/../ci/deployer' },
      /not listed|SPIFFE/,
    ],
    ['another audience', { aud: 'spiffe://acme.dev/db' }, /another audience/],
  ])('%s is refused', async (_, claims, message) => {
    await refused(issuer.token(claims), message)
  })
})

describe('Kubernetes', () => {
  beforeEach(() => start('kubernetes'))

  test('a service account is known by name and uid', async () => {
    expect(await identities.verifyIdToken(await issuer.token())).toMatchObject({
      kind: 'pipeline',
      id: 'kubernetes.default.svc/system:serviceaccount:ci:deployer',
      name: 'ci/deployer',
      groups: ['shop-pipelines'],
      signed: { repository: '', branch: '', commit: '' },
    })
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['an account made again', { 'kubernetes.io': { serviceaccount: { uid: 'x' } } }, /another id/],
    ['an account without a uid', { 'kubernetes.io': undefined }, /another id/],
    ['another account', { sub: 'system:serviceaccount:ci:default' }, /not listed/],
    ['a node', { sub: 'system:node:a' }, /service account/],
    ['a token for the API server as well', { aud: [AUDIENCE, 'https://k8s'] }, /several/],
  ])('%s is refused', async (_, claims, message) => {
    await refused(issuer.token(claims), message)
  })
})

describe('keys in a file', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'jit-keys-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const withKeys = (file: string) =>
    start(
      'kubernetes',
      FILE.kubernetes.replace('type: kubernetes', `type: kubernetes\n    jwks_uri: file:${file}`),
    )

  test('are used without asking anybody, and read again when they are old', async () => {
    const file = join(directory, 'jwks.json')
    await withKeys(file)
    writeFileSync(file, JSON.stringify({ keys: issuer.provider.published }), { mode: 0o600 })
    await identities.verifyIdToken(await issuer.token())
    expect(issuer.provider.requests).toEqual([])
    await issuer.provider.rotate('kubernetes-2', 'RS256')
    writeFileSync(file, JSON.stringify({ keys: issuer.provider.published }))
    clock.seconds += 15
    await identities.verifyIdToken(await issuer.token())
  })

  test('that are missing are the issuer out of reach', async () => {
    await withKeys(join(directory, 'nothing.json'))
    await expect(identities.verifyIdToken(await issuer.token())).rejects.toMatchObject({
      code: 'issuer_unreachable',
    })
  })
})
