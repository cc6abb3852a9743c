import { createHash, timingSafeEqual } from 'node:crypto'
import type { Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import manifest from '../../../package.json' with { type: 'json' }
import { JitError } from '../../lib/errors.ts'
import { PROBLEM_MEDIA_TYPE } from '../../protocol/problem.ts'
import type { BrokerConfig } from '../config/config.ts'
import type { Policies } from '../policies.ts'
import { problemOf } from '../problem.ts'
import { resolveReference } from '../references.ts'
import { bind } from '../server.ts'
import type { Store } from '../store/store.ts'
import type { PrometheusMetrics, Sources } from './prometheus.ts'

/** Shorter ones can be guessed. */
const LEAST_TOKEN = 16

const digest = (text: string) => createHash('sha256').update(text).digest()

/** Answers `GET /metrics`, to whoever may ask. */
export type Exposition = (request: Pick<Request, 'headers'>) => Promise<Response>

/** What is exposed, and where. */
export interface Exposed {
  /** Where the broker itself listens. */
  readonly exposition?: Exposition
  /** What serves them at an address of their own. */
  readonly server?: Server
}

/**
 * Opens the metrics to those who may look, as `metrics:` says.
 * @throws JitError `config_invalid`: a token that can be guessed, an address that can't be listened on
 */
export async function expose(
  metrics: PrometheusMetrics | undefined,
  parts: {
    readonly config: BrokerConfig
    readonly env: Readonly<Record<string, string | undefined>>
    readonly store: Store
    readonly policies: Policies
    readonly lifelines: () => number
  },
): Promise<Exposed> {
  if (!metrics) return {}
  const { config, env, store, policies, lifelines } = parts
  const { listen, token } = config.metrics ?? {}
  const expected = token && resolveReference(token, { env, directory: config.directory })
  const sources: Sources = {
    ...{ store, lifelines, version: manifest.version },
    policies: () => policies.current.version,
  }
  const exposition = createExposition(metrics, { token: expected, sources })
  return listen ? { server: await serveAlone(exposition, { ...config, listen }) } : { exposition }
}

function createExposition(
  metrics: PrometheusMetrics,
  { token, sources }: { token: string | undefined; sources: Sources },
): Exposition {
  if (token !== undefined && token.length < LEAST_TOKEN) {
    const message = `metrics.token: expected at least ${LEAST_TOKEN} characters`
    throw new JitError('config_invalid', message, { hint: 'openssl rand -base64 32 makes one' })
  }
  const expected = token === undefined ? undefined : digest(`Bearer ${token}`)
  return async ({ headers }) => {
    const given = digest(headers.get('authorization') ?? '')
    if (expected && !timingSafeEqual(expected, given)) return unauthorized()
    const body = await metrics.render(sources)
    return new Response(body, {
      headers: { 'Content-Type': metrics.contentType, 'Cache-Control': 'no-store' },
    })
  }
}

function unauthorized(): Response {
  const problem = problemOf(new JitError('not_signed_in', 'expected the token of the metrics'))
  return Response.json(problem, {
    status: problem.status,
    headers: {
      'Content-Type': PROBLEM_MEDIA_TYPE,
      'WWW-Authenticate': 'Bearer realm="metrics"',
    },
  })
}

/** Serves the metrics, and nothing else there. */
async function serveAlone(
  exposition: Exposition,
  config: Pick<BrokerConfig, 'listen' | 'tls'>,
): Promise<Server> {
  const server = await bind(config)
  const answer = getRequestListener((request: Request) =>
    new URL(request.url).pathname === '/metrics' && request.method === 'GET'
      ? exposition(request)
      : new Response('there is nothing but GET /metrics\n', { status: 404 }),
  )
  return server.removeAllListeners('request').on('request', answer)
}
