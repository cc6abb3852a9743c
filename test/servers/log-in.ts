import { createInterface } from 'node:readline'
import type { Home } from '../run/home.ts'
import { confirmDevice } from './browser.ts'

/**
 * `jit login` at a broker, confirmed at its provider's real pages.
 * @returns the titles of the pages that the person saw
 */
export async function logIn(
  home: Home,
  { broker, login, flags = [] }: { broker: string; login: string; flags?: readonly string[] },
): Promise<string[]> {
  const jit = home.start(['login', broker, '--json', ...flags])
  if (!jit.stdout) throw new Error('expected a pipe')
  let confirmed: Promise<string[]> = Promise.resolve([])
  let signedIn = false
  for await (const line of createInterface({ input: jit.stdout })) {
    const event = JSON.parse(line) as Record<string, string>
    if (event.event === 'signed_in') signedIn = true
    if (event.event !== 'verification') continue
    const verificationUriComplete = String(event.verification_uri_complete)
    confirmed = confirmDevice({ verificationUriComplete, login })
  }
  const titles = await confirmed
  if (!signedIn) throw new Error(`${login} could not sign in`)
  home.env.JIT_BROKER = broker
  return titles
}
