import { createHmac } from 'node:crypto'
import { JitError } from '../lib/errors.ts'
import { withoutTrailing } from '../lib/without-trailing.ts'
import type { HookConfig } from './config/config.ts'
import { isHookUrl } from './config/values.ts'

/** What came of one attempt. `again`: milliseconds that the webhook asks to be left alone. */
export type Delivery =
  | { readonly kind: 'taken' }
  | { readonly kind: 'failed'; readonly problem: string; readonly again: number }

/** How long a webhook may take to answer. */
export const HOOK_TIMEOUT_MS = 5000
const KEY_BYTES = { least: 24, most: 64 }

/** One webhook of `notify:`, its references resolved: what it is called by is never said. */
export class Hook {
  readonly #url: string
  readonly #key: Buffer

  /** @throws JitError `config_invalid`: a reference that leads nowhere, a URL or key that is none */
  constructor(name: string, config: HookConfig, resolveReference: (reference: string) => string) {
    const isReference = /^(?:env|file):/.test(config.url)
    this.#url = isReference ? resolveReference(config.url).trim() : config.url
    if (!isHookUrl(this.#url)) {
      const message = `notify.${name}.url: ${config.url} is not an https URL (or http on loopback)`
      throw new JitError('config_invalid', message)
    }
    this.#key = keyOf(name, resolveReference(config.secret))
  }

  /**
   * Posts a message once, signed (Standard Webhooks 1.0, "Signature scheme"). Redirects aren't
   * followed: whom a message goes to is configured.
   * @param message.at milliseconds since the epoch
   */
  async post(
    message: { readonly id: string; readonly body: string; readonly at: number },
    stop: AbortSignal,
  ): Promise<Delivery> {
    const timeout = AbortSignal.timeout(HOOK_TIMEOUT_MS)
    try {
      const answer = await fetch(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...this.#signature(message) },
        body: message.body,
        redirect: 'manual',
        signal: AbortSignal.any([timeout, stop]),
      })
      await answer.body?.cancel()
      if (answer.ok) return { kind: 'taken' }
      const seconds = Number(answer.headers.get('retry-after') ?? 0)
      const again = Number.isFinite(seconds) ? seconds * 1000 : 0
      return { kind: 'failed', problem: `it answered ${answer.status}`, again }
    } catch (thrown) {
      const problem = timeout.aborted ? 'it does not answer in time' : reasonOf(thrown)
      return { kind: 'failed', problem, again: 0 }
    }
  }

  #signature({ id, body, at }: { id: string; body: string; at: number }): Record<string, string> {
    const timestamp = String(Math.floor(at / 1000))
    const mac = createHmac('sha256', this.#key).update(`${id}.${timestamp}.${body}`)
    return {
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${mac.digest('base64')}`,
    }
  }
}

/** `whsec_` and base64, as Standard Webhooks writes symmetric keys; the prefix may be missing. */
function keyOf(name: string, secret: string): Buffer {
  const encoded = secret.trim().replace(/^whsec_/, '')
  const key = Buffer.from(encoded, 'base64')
  const exact = withoutTrailing(key.toString('base64'), '=') === withoutTrailing(encoded, '=')
  if (exact && key.length >= KEY_BYTES.least && key.length <= KEY_BYTES.most) return key
  throw new JitError('config_invalid', `notify.${name}.secret: expected 24 to 64 bytes in base64`, {
    hint: '`openssl rand -base64 32` makes one',
  })
}

/** The error's code: its message may quote the URL. */
function reasonOf(thrown: unknown): string {
  const { cause } = thrown as { cause?: { code?: unknown } }
  return typeof cause?.code === 'string' ? `no connection (${cause.code})` : 'no connection'
}
