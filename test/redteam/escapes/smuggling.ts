import { type Asked, disguised, link, patiently, tryThem } from '../door.ts'
import type { Escape } from '../escape.ts'
import { speak } from '../tools.ts'

/** What a sandbox has no business with. */
const CLOSED: readonly Asked[] = [
  ...['/v1/audit', '/v1/approvals', '/v1/events', '/v1/sandboxes?scope=all', '/v1/sandboxes'],
  ...['/v1/grants?scope=all', '/healthz', '/metrics', '/openapi.json', '/idp/auth', '/jwks', '/'],
].map((target) => ({ target }))

const POSTS: readonly Asked[] = [
  { target: '/v1/revoke', body: '{"scope":"all"}' },
  { target: '/v1/revoke', body: '{"scope":"user","user":"dev"}' },
  { target: '/v1/revoke', body: '{"scope":"agent","agent":"copilot"}' },
  { target: '/oauth/token', body: 'grant_type=refresh_token' },
  { target: '/oauth/revoke', body: 'token=x' },
  { target: '/ssf/events', body: '{}' },
  { target: '/grants/introspect', body: 'token=x' },
].map((request) => ({ ...request, method: 'POST' }))

/** How it words what it asks. */
export const smuggling: readonly Escape[] = [
  {
    name: 'reach what the link keeps closed, by its plain name',
    gain: "others' grants, the audit log, a session",
    plain: false,
    proof: 'claim',
    attempt: () => tryThem([...CLOSED, ...POSTS]),
  },
  {
    name: 'reach it by a name in 18 disguises',
    gain: "others' grants, the audit log",
    plain: false,
    proof: 'claim',
    attempt: () => tryThem(disguised('/v1/audit').map((target) => ({ target }))),
  },
  {
    name: 'reach it by another method or host',
    gain: "others' grants, the audit log",
    plain: false,
    proof: 'claim',
    attempt: ({ broker }) =>
      tryThem([
        ...['HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'PATCH', 'get', 'PROPFIND'].map(
          (method) => ({ method, target: '/v1/audit' }),
        ),
        { target: `${broker}/v1/audit` },
        { method: 'CONNECT', target: new URL(broker).host },
        { target: '/v1/audit', headers: [`Host: ${new URL(broker).host}`] },
        { target: '/v1/audit', headers: ['Origin: null'] },
      ]),
  },
  {
    name: 'smuggle a second request behind a first (lengths that contradict each other, pipelining)',
    gain: "a request in the supervisor's name that nobody looked at",
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const hidden = 'GET /v1/audit HTTP/1.1\r\nHost: x\r\n\r\n'
      const start = 'POST /v1/grants HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
      const tries = [
        `${start}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
        `${start}Transfer-Encoding: chunked\r\nContent-Length: ${hidden.length + 5}\r\n\r\n0\r\n\r\n${hidden}`,
        `${start}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`,
        `${start}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${hidden}`,
        `${start}Content-Length: 2\r\nContent-Length: ${hidden.length}\r\n\r\n{}${hidden}`,
        `GET /v1/whoami HTTP/1.1\r\nHost: x\r\nX: a\n\n${hidden}\r\n\r\n`,
        `GET /v1/whoami HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n${hidden}`,
        `GET /v1/lifeline HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n${hidden}`,
        `GET /v1/whoami HTTP/0.9\r\n\r\n${hidden}`,
        `\0\0\0\x08\x04\xd2\x16\x2f${hidden}`,
      ]
      const answers = await Promise.all(
        tries.map((say) => patiently(() => speak({ port: link(), say, patience: 700 }))),
      )
      return answers.find((answer) => answer.includes('"prev"') || answer.includes('"entries"'))
    },
  },
  {
    name: 'open another line than the one for elevations (WebSocket)',
    gain: 'a sandbox of its own making, with all domains',
    plain: false,
    proof: 'claim',
    attempt: () =>
      tryThem(
        [
          '/v1/sandbox',
          '/v1/lifeline/../sandbox',
          '/v1//sandbox',
          '/v1/lifeline?/v1/sandbox',
          '/v1/events',
          '/v1/lifeline/',
        ].map((target) => ({
          target,
          headers: [
            ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
          ],
        })),
      ),
  },
  {
    name: "take over the person's grant on a line of its own (resume, redeem, renew, release)",
    gain: "the person's credentials",
    plain: false,
    proof: 'claim',
    attempt: async ({ grantOfOwner: grant, repository }) => {
      const claimed = { repository: '', branch: '', commit: '', dirty: false }
      const command = { argv: ['true'], directory: repository, executable: '/bin/true' }
      const outcome = { code: 0, signal: null }
      const said = await Promise.all(
        [
          { type: 'resume', grant, secret: 'guess', received: false },
          { type: 'redeem', grant, claimed, command },
          { type: 'continue', grant },
          { type: 'detach', grant },
          { type: 'renew', grant },
          { type: 'release', grant, outcome },
          { type: 'request', key: 'k', details: { ...claimed, principal: 'dev' } },
        ].map((message) => patiently(() => saidOnLine(message))),
      )
      return said.find((one) => /"type":"(?:granted|resumed|renewed|released|pending)"/.test(one))
    },
  },
]

/** The first answer on a lifeline to one message, or the code it was closed with. */
function saidOnLine(message: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${link()}/v1/lifeline`)
    socket.onopen = () => socket.send(JSON.stringify(message))
    socket.onmessage = ({ data }) => resolve(String(data))
    socket.onclose = ({ code }) => resolve(`closed with ${code}`)
    socket.onerror = () => reject(new Error('no line'))
  })
}
