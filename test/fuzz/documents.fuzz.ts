import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseConfig } from '../../src/broker/config/load.ts'
import { readConfig, readSandboxProfiles } from '../../src/cli/config.ts'
import { MAX_PROFILE, parseProfiles } from '../../src/context/profile.ts'
import type { JitError } from '../../src/lib/errors.ts'
import { readCases } from '../../src/policy/cases.ts'
import { parsePolicies } from '../../src/policy/load.ts'
import { targetKinds } from '../../src/targets/kinds.ts'
import { temporaryFolder } from '../folder.ts'
import { EXAMPLE, vocabulary } from '../policy/fixtures.ts'
import { mutatedText } from './mutations.ts'
import { holds, SECRET, unlessRefused } from './property.ts'

const PROFILES = `version: 1
profiles:
  deploy:
    environment: prod
    task: deploy
    targets: [shop-db, "shop-aws"]
    ttl: 15m
    reason: ${SECRET}
    commands: ["terraform apply *", make deploy]
    labels: { model: '${SECRET}', gpus: 4, nightly: true }
  plan: { environment: prod, task: plan }
sandbox:
  hidden: [.env, secrets/]
  readonly: [infra]
  domains: [registry.example.com, "*.example.org:8443"]
`

test('a .jit.yaml is profiles, or refused with its line', async () => {
  await holds(
    mutatedText(PROFILES).map((text) => text.slice(0, MAX_PROFILE)),
    async (content) => {
      const read = await unlessRefused(['profile_invalid'], () => parseProfiles(content, 'x.yaml'))
      for (const [name, profile] of read?.profiles ?? []) {
        expect(name).toMatch(/^[a-z][a-z0-9_-]{0,62}$/)
        // What is asked for in its name goes over the wire as it is.
        expect(JSON.parse(JSON.stringify(profile))).toEqual(profile)
      }
    },
    { share: 3 },
  )
})

const BROKER = readFileSync('examples/broker/full.yaml', 'utf8')
const MINIMAL = readFileSync('examples/broker/minimal.yaml', 'utf8').replace(
  /^( *)admin: .*$/m,
  `$1admin: postgres://admin:${SECRET}@localhost/shop`,
)

test('a broker.yaml is a configuration, or refused without a word of its values', async () => {
  const read = (text: string) =>
    parseConfig({ text, file: 'b.yaml', directory: '/etc/jit', kinds: targetKinds })
  expect(read(BROKER).url).toMatch(/^https:/)
  await holds(
    mutatedText(BROKER, MINIMAL),
    async (text) => {
      const config = await unlessRefused(['config_invalid'], () => read(text))
      if (config) expect(JSON.stringify(read(text))).toBe(JSON.stringify(config))
    },
    { share: 2 },
  )
})

const CONFIG = `# what this user's commands start from

broker: https://jit.acme.dev
brokers:
  https://jit.acme.dev:
    issuer: https://idp.acme.dev
`
const WITH_SANDBOX = `${CONFIG}sandbox:
  profiles:
    claude:
      domains: [api.example.com]
      readable: [~/.gitconfig]
      environments: [dev]
      ttl: 2h
`

test('a config.yaml is settings, or refused with its line', async () => {
  const config = temporaryFolder('fuzz')
  const paths = { config, data: config, cache: config, runtime: config }
  await holds(
    mutatedText(CONFIG, WITH_SANDBOX),
    async (text) => {
      writeFileSync(join(config, 'config.yaml'), text)
      await unlessRefused(['config_invalid'], () => readConfig(paths))
      await unlessRefused(['config_invalid'], () => readSandboxProfiles(paths))
    },
    { share: 3 },
  )
})

const inventory = { ...vocabulary, acr: ['mfa'], abilities: {} }
const CASES = `principals:
  dana: { groups: [shop-devs] }
  copilot: { kind: agent, owner: dana }
context: { claimed: { repository: github.com/acme/shop } }
cases:
  - name: devs deploy
    principal: dana
    task: deploy
    environment: prod
    context: { approvals: { platform-oncall: [dana] }, time: "2026-01-05T09:30:00Z" }
    expect: { decision: permit, policies: [shop-deploy] }
  - { name: no, principal: copilot, task: plan, environment: dev, expect: deny }
`

test('a file of cases is cases, or refused with its line', async () => {
  const policies = parsePolicies([{ name: 'a.cedar', content: EXAMPLE }], inventory)
  await holds(
    mutatedText(CASES),
    (text) =>
      unlessRefused(['config_invalid'], () => readCases(text, 'a.yaml', { inventory, policies })),
    { share: 2 },
  )
})

const POLICIES = `${EXAMPLE}
// a comment; with a semicolon
@id("mfa") forbid (principal is Agent, action in [Action::"plan"], resource)
when { context.reason like "*a;b\\"*" || context.labels has gpus && context.labels.gpus > 3 };
`

test('policies are a set, or refused with file and line', async () => {
  const read = (content: string) => parsePolicies([{ name: 'a.cedar', content }], vocabulary)
  expect(read(POLICIES).size).toBe(3)
  await holds(mutatedText(POLICIES), async (content) => {
    await unlessRefused(['policy_invalid'], () => {
      try {
        return read(content)
      } catch (thrown) {
        expect((thrown as JitError).message).toMatch(/^(?:a\.cedar(?::\d+)?)?/)
        throw thrown
      }
    })
  })
})
