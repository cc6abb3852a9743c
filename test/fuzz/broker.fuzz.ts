import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestClient } from '../broker/harness.ts'
import { Harness, request } from '../broker/harness.ts'
import { mutatedJson, mutatedText } from './mutations.ts'
import { holds, SECRET } from './property.ts'

let harness: Harness
let dana: TestClient
const LIMITS =
  'limits: { grants_per_principal: 1000, requests_per_principal: 100000, requests_per_address: 100000 }'

beforeAll(async () => {
  harness = await Harness.start({ limits: LIMITS })
  dana = await harness.client({ sub: 'dana' })
})
afterAll(() => harness[Symbol.asyncDispose]())

/** Nothing was unforeseen, and nothing of what was sent is in a log. */
function isCalm(): void {
  const lines = harness.log.splice(0)
  expect(lines.filter((line) => /^a \w+(?: \w+)? failed/.test(line))).toEqual([])
  expect(lines.join('\n')).not.toContain(SECRET)
}

let asked = 0
/** Each asks for something of its own: the same key with another request is refused early. */
const anew = (text: string) => text.replace('"key":"k"', () => `"key":"k${asked++}"`)

const BODIES = {
  '/v1/grants': { key: 'k', details: request({ reason: SECRET, labels: { model: 'm' } }) },
  '/v1/revoke': { user: SECRET },
  '/v1/grants/g_1/approve': { hash: 'a'.repeat(64) },
  '/v1/grants/g_1/deny': { reason: SECRET },
  '/v1/grants/g_1/acknowledge': {},
}

test.each(Object.entries(BODIES))(
  'POST %s answers anything as a 2xx or a 4xx',
  async (path, body) => {
    await holds(mutatedJson(body), async (text) => {
      const answer = await fetch(new URL(path, harness.url), {
        method: 'POST',
        headers: { ...dana.headers('POST', path), 'Content-Type': 'application/json' },
        body: anew(text),
      })
      const said = await answer.text()
      expect(answer.status, said).toBeLessThan(500)
      isCalm()
    })
  },
)

const FORM = 'grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange'
const FORMS = {
  '/oauth/token': `${FORM}&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token&subject_token=${SECRET}&agent_name=claude`,
  '/oauth/revoke': `token=${SECRET}`,
  '/grants/introspect': `token=${SECRET}`,
  '/ssf/events': SECRET,
}
const TYPES = [
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/secevent+jwt',
  'text/plain',
]
const MULTIPART = `--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n${SECRET}\r\n--x--\r\n`

test.each(Object.entries(FORMS))(
  'POST %s answers anything as a 2xx or a 4xx',
  async (path, form) => {
    await holds(mutatedText(form, MULTIPART), async (body) => {
      for (const type of TYPES) {
        const authorization = `Basic ${Buffer.from('api:introspection-secret').toString('base64')}`
        const answer = await fetch(new URL(path, harness.url), {
          method: 'POST',
          headers: {
            DPoP: dana.proof('POST', path),
            Authorization: authorization,
            'Content-Type': type,
          },
          body,
        })
        const said = await answer.text()
        expect(answer.status, said).toBeLessThan(500)
        expect(said).not.toContain(SECRET)
        isCalm()
      }
    })
  },
)

const QUERIES = [
  '/v1/grants?scope=all&state=active',
  '/v1/audit?after=1',
  '/v1/approvals/g_1',
  '/v1/policy/explain?grant=g_1',
  '/v1/sandboxes?scope=mine',
  '/v1/whoami',
  '/v1/askable?repository=github.com%2Facme%2Fshop',
]

test('GET answers any path as a 2xx or a 4xx', async () => {
  await holds(mutatedText(...QUERIES), async (text) => {
    const url = URL.parse(text.slice(0, 8000), harness.url)
    if (!url || url.origin !== harness.url) return
    // Two slashes would begin a host.
    const headers = { ...dana.headers('GET', url.pathname.replace(/^\/+/, '/')) }
    const answer = await fetch(url, { headers })
    expect(answer.status, await answer.text()).toBeLessThan(500)
    isCalm()
  })
})

const MESSAGES = [
  { type: 'request', key: 'k', details: request({ reason: SECRET, labels: { model: 'm' } }) },
  { type: 'resume', grant: 'g', secret: SECRET, received: true },
  { type: 'redeem', grant: 'g', claimed: request().claimed, command: request().command },
  { type: 'release', grant: 'g', outcome: { code: 0, signal: null } },
  { type: 'renew', grant: 'g' },
]

test('a lifeline answers anything, or closes, and says nothing of a mistake of its own', async () => {
  await holds(
    mutatedJson(...MESSAGES),
    async (text) => {
      const line = await dana.connect()
      const answered = once(line.socket, 'message')
      line.send(anew(text))
      const first = await Promise.race([answered, line.closed])
      if (Array.isArray(first))
        expect(JSON.parse(String(first[0])).problem?.code).not.toBe('internal')
      line.cut()
      await line.closed
      isCalm()
    },
    { share: 0.5 },
  )
})
