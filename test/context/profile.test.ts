import { chmodSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findProfileFile, parseProfiles } from '../../src/context/profile.ts'
import { isTrusted, trust, trustedProfile, untrust } from '../../src/context/trust.ts'
import { pathsFrom } from '../../src/lib/paths.ts'
import { temporaryFolder } from '../folder.ts'
import { write } from './repositories.ts'

const PROFILES = `version: 1
profiles:
  deploy: { environment: prod, task: deploy, targets: [shop-db, shop-aws], ttl: 15m }
  plan:
    environment: prod
    task: plan
    reason: "looking"
    labels: { model: m, gpus: 8, nightly: true }
`

const place = (directory: string, root?: string) => ({ directory, root })
const paths = () => pathsFrom({ HOME: temporaryFolder('context') })

describe('the profiles of a repository', () => {
  it('say what to ask for', async () => {
    const { profiles } = await parseProfiles(PROFILES, '.jit.yaml')
    expect(Object.fromEntries(profiles)).toEqual({
      deploy: { environment: 'prod', task: 'deploy', targets: ['shop-db', 'shop-aws'], ttl: 900 },
      plan: {
        environment: 'prod',
        task: 'plan',
        reason: 'looking',
        labels: { model: 'm', gpus: 8, nightly: true },
      },
    })
  })

  it('are found from any folder up to the top of the repository, and never above it', async () => {
    const above = temporaryFolder('context')
    write(above, { '.jit.yaml': PROFILES, 'root/a/b/x': '', 'root/a/y': '' })
    const root = join(above, 'root')
    expect(await findProfileFile(place(join(root, 'a', 'b'), root))).toBeUndefined()
    write(root, { '.jit.yaml': PROFILES })
    const found = await findProfileFile(place(join(root, 'a', 'b'), root))
    expect(found?.path).toBe(join(root, '.jit.yaml'))
    write(root, { 'a/.jit.yaml': PROFILES })
    const nearer = await findProfileFile(place(join(root, 'a', 'b'), root))
    expect(nearer?.path).toBe(join(root, 'a', '.jit.yaml'))
    expect(await findProfileFile(place(join(root, 'a', 'b')))).toBeUndefined()
  })

  it('are not read through a link, nor from a large file', async () => {
    const root = temporaryFolder('context')
    write(root, { 'elsewhere.yaml': PROFILES })
    symlinkSync('elsewhere.yaml', join(root, '.jit.yaml'))
    const wrong = { code: 'profile_invalid', message: expect.stringMatching(/32 KiB, not a link/) }
    await expect(findProfileFile(place(root, root))).rejects.toMatchObject(wrong)
    const other = temporaryFolder('context')
    write(other, { '.jit.yaml': PROFILES + '#'.repeat(70_000) })
    await expect(findProfileFile(place(other, other))).rejects.toMatchObject(wrong)
  })
})

describe('a mistake in .jit.yaml is told with its line and what was expected', () => {
  const p = (entry: string) =>
    `version: 1\nprofiles:\n  deploy:\n    environment: prod\n    task: deploy\n    ${entry}\n`
  const ASKS_ONLY = /never a broker, an issuer, a command to run or a variable/

  it.each([
    ['', ':1: expected a map'],
    ['hello', ':1: expected a map'],
    ['version: 2\nprofiles: {}', ':1: version: expected 1'],
    ['profiles: {}', ':1: version: missing'],
    ['version: 1', ':1: expected profiles or sandbox'],
    ['version: 1\nprofiles:\n  x: 1', ':3: profiles.x: expected a map'],
    ['version: 1\nprofiles:\n  X: {}', ':3: profiles.X: expected a name'],
    ['version: 1\nprofiles:\n  x:\n    task: y', ':3: profiles.x.environment: missing'],
    [p('ttl: soon'), ':6: profiles.deploy.ttl: expected a duration like 15m, 90s or 1h30m'],
    [p('ttl: 900'), ':6: profiles.deploy.ttl: expected a duration'],
    [p('ttl: 30d'), ':6: profiles.deploy.ttl: expected at most a week'],
    [p('targets: shop-db'), ':6: profiles.deploy.targets: expected a list of targets'],
    [p('targets: [shop-db, 1]'), ':6: profiles.deploy.targets.1: '],
    [p('commands: make'), ':6: profiles.deploy.commands: expected a list of commands'],
    [p('commands: [make, " "]'), ':6: profiles.deploy.commands.1: expected words'],
    [p('labels: { model: [] }'), ':6: profiles.deploy.labels.model: expected a text'],
    [p('task: twice'), ':6: '],
    [p('__proto__: { x: 1 }'), ':6: expected a name as the key'],
    [p('1: x'), ':6: expected a name as the key'],
    ['version: 1\nprofiles: &a\n  x: *a', ':3: expected no aliases'],
    ['version: 1\n\tprofiles: {}', ':2: '],
    ['version: 1\nsandbox: { readable: [/] }', ':2: sandbox.readable: unknown key'],
    ['version: 1\nsandbox:\n  hidden: [/etc]', ':3: sandbox.hidden.0: expected a path inside'],
    ['version: 1\nsandbox:\n  hidden: [a/../../b]', ':3: sandbox.hidden.0: expected a path inside'],
    ['version: 1\nsandbox:\n  readonly: [~/.bashrc]', ':3: sandbox.readonly.0: expected a path'],
    ['version: 1\nsandbox:\n  hidden: ["*.pem"]', ':3: sandbox.hidden.0: expected a path, and no'],
    ['version: 1\nsandbox:\n  domains: ["*"]', ':3: sandbox.domains.0: expected a domain'],
  ])('%j', async (content, message) => {
    const failure = { code: 'profile_invalid', message: expect.stringContaining(message) }
    await expect(parseProfiles(content, 'r/.jit.yaml')).rejects.toMatchObject(failure)
  })

  it('nested without an end', async () => {
    const failure = { code: 'profile_invalid', message: 'x:1: nested too deeply' }
    await expect(parseProfiles('['.repeat(30_000), 'x')).rejects.toMatchObject(failure)
    const closed = '['.repeat(3000) + ']'.repeat(3000)
    await expect(parseProfiles(closed, 'x')).rejects.toMatchObject({ code: 'profile_invalid' })
  })

  it.each(['broker', 'issuer', 'command', 'env', 'run'])(
    '%s is nothing it may say',
    async (key) => {
      for (const content of [p(`${key}: x`), `version: 1\n${key}: x\nprofiles: {}\n`]) {
        await expect(parseProfiles(content, 'r/.jit.yaml')).rejects.toMatchObject({
          code: 'profile_invalid',
          message: expect.stringMatching(new RegExp(`^r/.jit.yaml:[26]: .*${key}: unknown key$`)),
          hint: expect.stringMatching(ASKS_ONLY),
        })
      }
    },
  )

  it('whatever the text, and nothing else is thrown', async () => {
    const piece = fc.constantFrom(
      'version: 1',
      'profiles:',
      '\n',
      '  ',
      'x:',
      '{',
      '}',
      '[',
      ']',
      '&a',
      '*a',
      '- ',
      '"',
      '!!js',
      '|',
      '\t',
      '? ',
      '1',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece).map((parts) => parts.join('')),
        async (content) => {
          await parseProfiles(content, 'x').catch((error) =>
            expect(error).toMatchObject({ code: 'profile_invalid' }),
          )
        },
      ),
    )
  })
})

describe('trust', () => {
  it('is for one place and one content, until either changes', async () => {
    const root = temporaryFolder('context')
    const home = paths()
    write(root, { '.jit.yaml': PROFILES })
    const at = { ...place(root, root), paths: home }
    const file = await findProfileFile(at)
    if (!file) throw new Error('expected a file')
    await expect(trustedProfile('plan', at)).rejects.toMatchObject({ code: 'profile_untrusted' })
    await trust(file, home)
    expect(await trustedProfile('plan', at)).toMatchObject({ task: 'plan' })
    await expect(trustedProfile('nope', at)).rejects.toMatchObject({
      code: 'not_found',
      hint: 'expected one of: deploy, plan',
    })
    expect(await isTrusted({ ...file, path: '/elsewhere/.jit.yaml' }, home)).toBe(false)
    writeFileSync(join(root, '.jit.yaml'), `${PROFILES}# changed\n`)
    await expect(trustedProfile('plan', at)).rejects.toMatchObject({ code: 'profile_untrusted' })
    write(root, { '.jit.yaml': PROFILES })
    expect(await untrust(file.path, home)).toBe(true)
    expect(await untrust(file.path, home)).toBe(false)
    expect(await isTrusted(file, home)).toBe(false)
  })

  it('is recorded for the person alone', async () => {
    const home = paths()
    const file = { path: '/r/.jit.yaml', hash: 'h', content: '', profiles: new Map() }
    await trust(file, home)
    const record = join(home.data, 'trusted.json')
    expect(statSync(record).mode & 0o777).toBe(0o600)
    expect(statSync(home.data).mode & 0o777).toBe(0o700)
    expect(statSync(join(home.data, 'trusted-h.yaml')).mode & 0o777).toBe(0o600)
    chmodSync(record, 0o644)
    await trust(file, home)
    expect(statSync(record).mode & 0o777).toBe(0o600)
  })

  it('fails clearly with a record that isn’t one', async () => {
    const home = paths()
    for (const content of ['', '{', '[]', '{"version":2}', '{"version":1,"trusted":{"a":1}}']) {
      write(home.data, { 'trusted.json': content })
      await expect(
        isTrusted({ path: '/r', hash: 'h', content: '', profiles: new Map() }, home),
      ).rejects.toMatchObject({ code: 'config_invalid' })
    }
  })

  it('without a file says what to do instead', async () => {
    const root = temporaryFolder('context')
    await expect(
      trustedProfile('deploy', { ...place(root, root), paths: paths() }),
    ).rejects.toMatchObject({ code: 'not_found', hint: expect.stringContaining('jit init') })
  })
})
