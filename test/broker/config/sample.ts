import * as v from 'valibot'
import { parseConfig } from '../../../src/broker/config/load.ts'
import { JitError } from '../../../src/lib/errors.ts'
import type { TargetKind } from '../../../src/targets/target.ts'

/** A kind like `postgres`, with nothing behind it. */
export const kinds: readonly TargetKind<unknown>[] = [
  {
    type: 'fake',
    config: v.strictObject({
      admin: v.pipe(v.string(), v.regex(/^(env|file):/)),
      tasks: v.record(v.string(), v.strictObject({ roles: v.array(v.string()) })),
    }),
    valueNames: ['url', 'password'],
    secretNames: ['password'],
    create: () => {
      throw new Error('not built in these tests')
    },
  },
]

export const SAMPLE = `url: https://jit.acme.dev
listen: 127.0.0.1:7420
store: sqlite:/var/lib/jit/jit.db
policies: ./policies
identity:
  - issuer: https://idp.acme.dev
    clients: { jit-cli: human, jit-agent: agent }
    groups: groups
groups: [shop-devs, platform-oncall]
approvers: [platform-oncall]
tasks: { plan: {}, deploy: {}, migrate: {} }
environments:
  prod: { tier: production }
labels: { model: string }
targets:
  shop-db:
    environment: prod
    type: fake
    sensitivity: confidential
    admin: env:SHOP_DB_ADMIN_URL
    tasks: { plan: { roles: [readonly] } }
    ttl:
      default: 15m
      max: 1h
    env: { PG_CONN_STR: "{{url}}" }
`

export function read(text: string) {
  return parseConfig({ text, file: 'broker.yaml', directory: '/etc/jit', kinds })
}

/** The error that the text is refused with. */
export function refusal(text: string): JitError {
  try {
    read(text)
  } catch (error) {
    if (error instanceof JitError) return error
    throw error
  }
  throw new Error('it was accepted')
}

/** The sample with one piece exchanged; the piece must be there. */
export function sampleWith(from: string, to: string): string {
  if (!SAMPLE.includes(from)) throw new Error(`not in the sample: ${from}`)
  return SAMPLE.replace(from, to)
}

/** The sample with more entries under `identity:`, and the groups that they name. */
export function withIdentity(entries: string): string {
  return sampleWith('    groups: groups\n', `    groups: groups${entries}\n`).replace(
    'platform-oncall]',
    'platform-oncall, shop-pipelines, shop-release]',
  )
}
