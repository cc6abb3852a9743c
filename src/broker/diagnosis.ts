import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { toTimestamp } from '../lib/clock.ts'
import { formatDuration } from '../lib/duration.ts'
import { JitError } from '../lib/errors.ts'
import { examine, type Finding } from '../lib/finding.ts'
import { loadPolicies } from '../policy/load.ts'
import type { Target } from '../targets/target.ts'
import { type BrokerConfig, vocabularyOf } from './config/config.ts'
import { sealedAs } from './keys.ts'
import { resolveReference } from './references.ts'
import type { Seal } from './seal.ts'
import { openSeal } from './seal-key.ts'
import { checkTransport } from './server.ts'
import { inspectStore, type StoreInspection } from './store/inspection.ts'
import { stuckRevocations } from './telemetry/census.ts'

const DAY_MS = 86_400_000
/** A certificate that ends sooner than this should have been renewed. */
const CERTIFICATE_MS = 14 * DAY_MS
const TARGET_MS = 15_000

export interface Patient {
  readonly config: BrokerConfig
  readonly env: Readonly<Record<string, string | undefined>>
  readonly now: number
}

type Look = Omit<Finding, 'check'>
const ok = (message: string): Look => ({ state: 'ok', message })

/**
 * Looks at all that a broker with this configuration stands on, whether or not one runs. Nothing is changed: what
 * has to be tried is rolled back.
 */
export async function diagnose(patient: Patient): Promise<Finding[]> {
  const { config } = patient
  const targets = Object.keys(config.targets).map((name) =>
    examine(`target ${name}`, () => lookAtTarget(name, patient)),
  )
  return [
    await examine('transport', async () => lookAtTransport(patient)),
    await examine('policies', () => lookAtPolicies(config)),
    ...(await lookAtStore(patient)),
    ...(await Promise.all(targets)),
  ]
}

function lookAtTransport({ config, now }: Patient): Look {
  checkTransport(config)
  if (!config.tls) {
    const { host, port } = config.listen
    return ok(`plain HTTP on ${host}:${port}, for a proxy in front of it`)
  }
  const certificate = new X509Certificate(readFileSync(config.tls.cert))
  const end = Date.parse(certificate.validTo)
  const until = `the certificate lasts until ${toTimestamp(end)}`
  if (end <= now) throw new JitError('config_invalid', 'the certificate has expired', RENEW)
  return end - now < CERTIFICATE_MS ? { state: 'warning', message: until, ...RENEW } : ok(until)
}

const RENEW = { hint: 'renew it, then restart the broker: certificates are read at start' }

async function lookAtPolicies(config: BrokerConfig): Promise<Look> {
  const { version } = await loadPolicies(config.policies, vocabularyOf(config))
  return ok(`valid, version ${version}`)
}

/** The store, and what can only be told with it. */
async function lookAtStore(patient: Patient): Promise<Finding[]> {
  const { config } = patient
  const sealing = await examine('seal key', async () => {
    openSeal(patient.config, patient.env)
    return ok('32 bytes')
  })
  if (config.store.kind === 'sqlite' && !existsSync(config.store.path)) {
    const message = `there is no ${config.store.path} yet: the first start makes it`
    const first: Finding = { check: 'store', state: 'note', message }
    return config.sealKey.generate ? [first] : [sealing, first]
  }
  let store: StoreInspection | undefined
  const reached = await examine('store', async () => {
    store = await inspectStore(config.store, (reference) => resolve(reference, patient))
    return lookIntoStore(store)
  })
  const within = store
  if (!within || reached.state === 'problem') return [sealing, reached]
  try {
    const seal = sealing.state === 'ok' ? openSeal(patient.config, patient.env) : undefined
    return [
      ...(seal ? [] : [sealing]),
      reached,
      ...(seal
        ? [await examine('keys', () => lookAtKeys(within, { seal, now: patient.now }))]
        : []),
      await examine('revocations', () => lookAtRevocations(within, patient.now)),
    ]
  } finally {
    await within.close()
  }
}

async function lookIntoStore(store: StoreInspection): Promise<Look> {
  const pending = await store.pending()
  if (pending.length > 0) {
    const message = `it can be read; the next start changes its tables first: ${pending.join(', ')}`
    return { state: 'note', message, hint: 'make a copy of it before' }
  }
  await store.tryWriting()
  return ok('it can be read and written to, and its tables are as this version has them')
}

const resolve = (reference: string, { env, config }: Patient) =>
  resolveReference(reference, { env, directory: config.directory })

/** Whether the seal key is the one that they were sealed with, and how old they are. */
async function lookAtKeys(
  { db }: StoreInspection,
  { seal, now }: { seal: Seal; now: number },
): Promise<Look> {
  const rows = await db
    .selectFrom('signing_keys')
    .selectAll()
    .where('private_key', '!=', '')
    .orderBy('signs_at')
    .execute()
  for (const { kid, private_key } of rows) seal.open(private_key, sealedAs(kid))
  const signing = rows.filter(({ signs_at }) => signs_at <= now)
  const newest = new Map(signing.map((row) => [row.purpose, row.signs_at]))
  const ages = [...newest].map(
    ([purpose, at]) => `${purpose} ${Math.floor((now - Number(at)) / DAY_MS)} days old`,
  )
  return ok(`the seal key opens them: ${ages.join(', ') || 'none yet'}`)
}

async function lookAtRevocations(store: StoreInspection, now: number): Promise<Look> {
  const stuck = await stuckRevocations(store)
  if (stuck.length === 0) return ok('none is stuck')
  const each = stuck.map(
    ({ target, count, since }) =>
      `${count} at ${target}, the oldest for ${formatDuration((now - since) / 1000)}`,
  )
  return {
    state: 'problem',
    message: `stuck: ${each.join('; ')}`,
    hint: 'jit grants --all and jit show ID say why; they are tried until their target confirms',
  }
}

/** Whether it answers, and lets its administrator do what a lease takes. */
async function lookAtTarget(name: string, patient: Patient): Promise<Look> {
  const target = build(name, patient)
  try {
    const signal = AbortSignal.timeout(TARGET_MS)
    const identity = await target.identity(signal)
    if (!target.rehearse) return ok(`it is ${identity}`)
    await target.rehearse(signal)
    return ok(`it is ${identity}; a credential of each task was made and rolled back`)
  } finally {
    await target.close()
  }
}

function build(name: string, patient: Patient): Target {
  const { kind, settings, environment } = patient.config.targets[name] ?? {}
  if (!kind || environment === undefined) throw new JitError('internal', `no target ${name}`)
  return kind.create(settings, {
    name,
    environment,
    resolveReference: (reference) => resolve(reference, patient),
    signGrantToken: () => Promise.reject(new JitError('internal', 'a diagnosis signs nothing')),
    now: () => patient.now,
  })
}
