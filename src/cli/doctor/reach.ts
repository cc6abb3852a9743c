import { once } from 'node:events'
import { discoverProviders } from '../../auth/discovery.ts'
import { connectProvider } from '../../auth/provider.ts'
import { requireSuccess } from '../../client/answer.ts'
import { toTimestamp } from '../../lib/clock.ts'
import { JitError } from '../../lib/errors.ts'
import { examine, type Finding } from '../../lib/finding.ts'
import { send } from '../../lib/http.ts'
import { connect, requireBroker } from '../connect.ts'
import type { Deps } from '../deps.ts'

const DAY_MS = 86_400_000
const CERTIFICATE_MS = 14 * DAY_MS
/** A proof is good for a minute either way (RFC 9449 section 11.1), in milliseconds. */
const PROOF_MS = 60_000
/** What is worth mending before it gets that far. */
const NOTABLE_MS = 10_000
const TLS_TIMEOUT = 10_000

type Look = Omit<Finding, 'check'>

/** The broker, from here: whether it answers, its certificate, its clock, its providers, and who is signed in there. */
export async function lookAtBroker(deps: Deps): Promise<Finding[]> {
  let broker: string
  try {
    broker = await requireBroker(deps)
  } catch (thrown) {
    const { message, hint } = JitError.from(thrown)
    return [{ check: 'broker', state: 'problem', message, ...(hint ? { hint } : {}) }]
  }
  let skew: number | undefined
  const reached = await examine('broker', async () => {
    const { took, ahead } = await greet(broker, deps)
    skew = ahead
    return { state: 'ok', message: `${broker} answers in ${Math.round(took)} ms` }
  })
  if (reached.state === 'problem') return [reached]
  return [
    reached,
    ...(broker.startsWith('https:')
      ? [await examine('certificate', () => lookAtTls(broker, deps))]
      : []),
    ...(skew === undefined ? [] : [clockFinding(skew)]),
    await examine('identity', () => lookAtProviders(broker, deps)),
    await examine('session', () => lookAtSession(deps)),
  ]
}

/** @returns how long it took, and how far the broker's clock is ahead, by its `Date` (whole seconds) */
async function greet(broker: string, { clock, interrupted: signal }: Deps) {
  const [from, started] = [clock.now(), clock.monotonic()]
  const answer = await send({ method: 'GET', url: new URL(`${broker}/healthz`), signal })
  const took = clock.monotonic() - started
  requireSuccess(answer)
  const date = Date.parse(String(answer.headers.date))
  const ahead = Number.isNaN(date) ? undefined : date + 500 - (from + took / 2)
  return { took, ahead }
}

function clockFinding(ahead: number): Finding {
  const check = 'clock'
  const seconds = Math.round(Math.abs(ahead) / 1000)
  const where = ahead > 0 ? 'behind' : 'ahead of'
  const message = `this machine's clock is ${seconds}s ${where} the broker's`
  const hint = 'set it by NTP: timedatectl set-ntp true'
  if (Math.abs(ahead) >= PROOF_MS) {
    return { check, state: 'problem', message: `${message}: it takes no proof of yours`, hint }
  }
  if (Math.abs(ahead) >= NOTABLE_MS) return { check, state: 'warning', message, hint }
  return { check, state: 'ok', message: "this machine's clock agrees with the broker's" }
}

async function lookAtTls(broker: string, { clock }: Deps): Promise<Look> {
  const { connect: open } = await import('node:tls')
  const { hostname, port } = new URL(broker)
  const host = hostname.replace(/^\[|\]$/g, '')
  const socket = open({ host, port: Number(port || 443), servername: host, timeout: TLS_TIMEOUT })
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(TLS_TIMEOUT) })
    const end = Date.parse(socket.getPeerCertificate().valid_to)
    const message = `${socket.getProtocol()}, the certificate lasts until ${toTimestamp(end)}`
    if (end - clock.now() >= CERTIFICATE_MS) return { state: 'ok', message }
    return { state: 'warning', message, hint: 'tell whoever runs the broker to renew it' }
  } finally {
    socket.destroy()
  }
}

async function lookAtProviders(broker: string, { interrupted: signal }: Deps): Promise<Look> {
  const providers = await discoverProviders(broker, signal)
  for (const provider of providers) await connectProvider(provider)
  const names = providers.map(({ issuer }) => issuer).join(', ')
  return { state: 'ok', message: `${names} answers` }
}

async function lookAtSession(deps: Deps): Promise<Look> {
  try {
    const { client } = await connect(deps)
    const { principal, session_expires_at } = await client.whoami()
    return {
      state: 'ok',
      message: `${principal.name} (${principal.kind}), until ${session_expires_at}`,
    }
  } catch (thrown) {
    const { code, message } = JitError.from(thrown)
    if (code !== 'not_signed_in' && code !== 'session_ended') throw thrown
    return { state: 'warning', message, hint: 'jit login' }
  }
}
