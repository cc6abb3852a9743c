import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Escape, SUPERVISOR_SAID, type Surroundings } from '../escape.ts'
import { python, run, speak } from '../tools.ts'

/** Where the supervisor listens; outside a sandbox there is no such door. */
function link(): number {
  const { JIT_SANDBOX } = process.env
  if (!JIT_SANDBOX) throw new Error('there is no link')
  return Number(new URL(JIT_SANDBOX).port)
}

interface Asked {
  readonly method?: string
  readonly target: string
  readonly headers?: readonly string[]
  readonly body?: string
}

/** One request, its target written as it is: no library tidies it up. */
function ask({ method = 'GET', target, headers = [], body = '' }: Asked): Promise<string> {
  const lines = [
    `${method} ${target} HTTP/1.1`,
    ...(headers.some((line) => line.startsWith('Host:')) ? [] : ['Host: 127.0.0.1:7421']),
    'Connection: close',
    ...(body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${body.length}`]),
    ...headers,
  ]
  return speak({ port: link(), say: `${lines.join('\r\n')}\r\n\r\n${body}`, patience: 2_000 })
}

/** Does it again while it is refused only because it is one too many at once. */
async function patiently(attempt: () => Promise<string>): Promise<string> {
  for (let tries = 0; tries < 40; tries++) {
    const answer = await attempt().catch((error: Error) => error.message)
    if (!/^HTTP\/1\.1 429|^no line$/.test(answer)) return answer
    await wait(100)
  }
  throw new Error('too much at once')
}

const askPatiently = (asked: Asked) => patiently(() => ask(asked))

const accepted = (answer: string): boolean => /^HTTP\/1\.[01] (?:2|101)/m.test(answer)

/** The requests that were let through. @throws Error with the last refusal when none was */
async function tryThem(requests: readonly Asked[]): Promise<string> {
  const tries: string[] = []
  let last = ''
  for (const request of requests) {
    const answer = await askPatiently(request)
    if (accepted(answer)) tries.push(`${request.method ?? 'GET'} ${request.target}: ${answer}`)
    else last = answer.split('\r\n')[0] ?? ''
  }
  if (tries.length === 0) throw new Error(last)
  return tries.join('\n')
}

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

/** The same target, written so that a careless guard reads another one. */
function disguised(target: string): string[] {
  const [, first = '', rest = ''] = /^\/(\w+)(.*)$/.exec(target) ?? []
  return [
    ...[`//${first}${rest}`, `/./${first}${rest}`, `/x/../${first}${rest}`, `/%2e/${first}${rest}`],
    ...[`/v1/whoami/../..${target}`, `/v1/whoami/%2e%2e/%2e%2e${target}`, `/${first};x=y${rest}`],
    ...[
      `/v1/whoami;/../..${target}`,
      `/v1/whoami%2f..%2f..${target}`,
      `/v1/whoami\\..\\..${target}`,
    ],
    ...[`/v1/whoami?${target}`, `/v1/whoami#/../..${target}`, target.toUpperCase(), `${target}/`],
    ...[
      `http://127.0.0.1${target}`,
      `http://x@127.0.0.1:7421${target}`,
      `${target}%00`,
      `*${target}`,
    ],
    ...[encodeURI(`/${first}`) + rest.replace('/', '%2F'), `/${first}${rest.replace('/', '//')}`],
  ].filter((one) => !one.startsWith('/v1/whoami?') && !one.startsWith('/v1/whoami#'))
}

const jit = ({ jit: [node, script] }: Surroundings, args: readonly string[], env = {}) =>
  run(node, [script, ...args], { env: { ...process.env, ...env } })

/** Under headers by which something in front of a broker would say who asks. */
const CLAIMS = [
  ...['Authorization: DPoP eyJ.eyJ.x', 'Authorization: Bearer x', 'DPoP: eyJ.eyJ.x'],
  ...['X-Forwarded-User: dev', 'X-Forwarded-For: 127.0.0.1', 'Forwarded: for=127.0.0.1;by=dev'],
  ...['X-Remote-User: dev', 'Cookie: session=dev', 'X-Original-URL: /v1/audit', 'X-Jit-Agent: '],
  ...['X-HTTP-Method-Override: POST', 'X-Rewrite-URL: /v1/audit', 'Via: jit'],
]

const identity: Escape[] = [
  {
    name: 'pass for the person at the broker, with the settings of the environment changed',
    gain: 'all that the person may do, approving included',
    plain: true,
    proof: 'claim',
    attempt: async (s) => {
      const without = { JIT_SANDBOX: undefined, JIT_AGENT: undefined, JIT_BROKER: s.broker }
      const tries = await Promise.all([
        jit(s, ['whoami', '--json'], without),
        jit(s, ['whoami', '--json'], { ...without, JIT_BROKER: process.env.JIT_SANDBOX }),
        jit(s, ['whoami', '--json'], { JIT_AGENT: '', JIT_BROKER: s.broker }),
        jit(s, ['whoami', '--json'], { ...without, HOME: s.home, JIT_KEYSTORE: 'file' }),
      ])
      return tries.find(({ output }) => output.includes('"kind":"human"'))?.output
    },
  },
  {
    name: 'pass for the person at the link, by 13 headers',
    gain: 'all that the person may do, approving included',
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const answers = await Promise.all(
        CLAIMS.map((header) => askPatiently({ target: '/v1/whoami', headers: [header] })),
      )
      return answers.find((answer) => accepted(answer) && !answer.includes('"kind":"agent"'))
    },
  },
  {
    name: 'get a session of its own from the broker (token exchange, sign-in)',
    gain: 'a session outside the sandbox',
    plain: false,
    proof: 'claim',
    attempt: () =>
      tryThem([
        {
          method: 'POST',
          target: '/oauth/token',
          body: 'grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange',
        },
        { target: '/.well-known/oauth-protected-resource' },
        { target: '/idp/.well-known/openid-configuration' },
        { method: 'POST', target: '/idp/device/auth', body: 'client_id=jit-agent' },
      ]),
  },
]

const asking: Escape[] = [
  {
    name: "see the person's requests and grants",
    gain: 'what the person works on, and ids to try',
    plain: true,
    proof: 'secret',
    attempt: async (s) => {
      const { output } = await jit(s, ['grants', '--json'])
      const { output: shown } = await jit(s, ['show', s.grantOfOwner, '--json'])
      if (process.env.JIT_SANDBOX === undefined) return output + shown
      const seen = [
        `/v1/grants/${s.grantOfOwner}`,
        '/v1/grants?scope=mine',
        '/v1/grants?scope=mine&scope=all',
      ].concat(`/v1/policy/explain?grant=${s.grantOfOwner}`, `/v1/approvals/${s.grantOfOwner}`)
      return (
        output +
        shown +
        (await Promise.all(seen.map((target) => askPatiently({ target })))).join('\n')
      )
    },
  },
  {
    name: "approve, deny, revoke or acknowledge the person's request",
    gain: 'a decision in the name of somebody else',
    plain: false,
    proof: 'claim',
    attempt: ({ grantOfOwner }) =>
      tryThem(
        ['approve', 'deny', 'revoke', 'acknowledge'].map((verb) => ({
          method: 'POST',
          target: `/v1/grants/${grantOfOwner}/${verb}`,
          body: '{"hash":"x","reason":""}',
        })),
      ),
  },
  {
    name: 'approve its own request',
    gain: 'production, with nobody asked',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const asked = await jit(s, [
        'request',
        '--env',
        'prod',
        '--task',
        'deploy',
        '--json',
        '--',
        'true',
      ])
      const id = /g_[a-z0-9]+/.exec(asked.output)?.[0]
      if (!id) throw new Error(`nothing to approve: ${asked.output}`)
      const approved = await jit(s, ['approve', id])
      if (approved.code === 0) return approved.output
      const target = `/v1/grants/${id}/approve`
      return tryThem([
        ...[target, ...disguised(target)].map((one) => ({
          method: 'POST',
          target: one,
          body: '{}',
        })),
        { method: 'POST', target: `${target}?x=/revoke`, body: '{}' },
      ])
    },
  },
  {
    name: 'ask for more than its ceiling',
    gain: "an environment that the person didn't hand on",
    plain: true,
    proof: 'claim',
    attempt: async (s) => {
      const { code, output } = await jit(s, [
        'exec',
        '--env',
        'staging',
        '--task',
        'plan',
        '--',
        'true',
      ])
      if (code !== 0) throw new Error(output.trim().split('\n').at(-1))
      return `granted: ${output}`
    },
  },
  {
    name: 'ask for production without anybody',
    gain: 'production',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const words = ['exec', '--env', 'prod', '--task', 'deploy', '--no-wait', '--', 'true']
      const { code, output } = await jit(s, words)
      if (code !== 0) throw new Error(output.trim().split('\n').at(-1))
      return output
    },
  },
  {
    name: 'start a sandbox with a wider ceiling in its own',
    gain: 'an identity with more rights',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const { code, output } = await jit(s, ['sandbox', '--env', 'staging', '--', 'true'])
      if (code !== 0) throw new Error(output.trim().split('\n').at(-1))
      return output
    },
  },
  ...['login', 'logout', 'approve', 'deny', 'acknowledge', 'audit', 'trust', 'policy', 'dev'].map(
    (command): Escape => ({
      name: `run jit ${command}`,
      gain: "what is the person's to do",
      plain: false,
      proof: 'claim',
      attempt: async (s) => {
        const words = command === 'policy' ? ['policy', 'check', '.'] : [command]
        const { code, output } = await jit(s, words)
        if (code !== 0) throw new Error(output.trim().split('\n').at(-1))
        return `${command} ran: ${output}`
      },
    }),
  ),
]

const smuggling: Escape[] = [
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

const terminal: Escape[] = [
  {
    name: "type into the person's terminal (TIOCSTI)",
    gain: "a command in the person's shell",
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () =>
      python(
        `import fcntl, pty
fds = [0, 1, 2]
try: fds.append(os.open('/dev/tty', os.O_RDWR))
except OSError: pass
fds += list(pty.openpty())
for fd in fds:
    try: fcntl.ioctl(fd, 0x5412, b'#'); print('typed'); sys.exit(0)
    except OSError as error: last = error
sys.exit(str(last))`,
      ),
  },
  {
    name: "reach the person's terminal and clipboard by what approvers are shown (escape sequences)",
    gain: 'a command in the clipboard of whoever approves',
    plain: false,
    proof: 'effect',
    attempt: async (s) => {
      const sequences = '\u001b]52;c;ZXZpbA==\u0007\u009b2J\u202e'
      const words = [
        'request',
        '--env',
        'prod',
        '--task',
        'deploy',
        '--reason',
        sequences,
        '--ticket',
        sequences,
      ]
      return (await jit(s, [...words, '--', 'true', sequences])).output
    },
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
    effect: async (s) => /\u001b\]|\u009b|\u202e/.test(await personsView(s)),
  },
]

/** What the person is shown of requests, unasked and asked. */
async function personsView(s: Surroundings): Promise<string> {
  const { PATH } = process.env
  const env = {
    PATH,
    HOME: s.home,
    XDG_RUNTIME_DIR: join(s.home, 'run'),
    JIT_KEYSTORE: 'file',
    JIT_BROKER: s.broker,
  }
  const shown = await Promise.all(
    [['status'], ['grants', '--all']].map((words) => run(s.jit[0], [s.jit[1], ...words], { env })),
  )
  const said = readFileSync(join(s.home, SUPERVISOR_SAID), 'utf8')
  return [said, ...shown.map(({ output }) => output)].join('\n')
}

const flooding: Escape[] = [
  {
    name: 'flood the person with requests: 150 at once',
    gain: 'somebody who clicks yes to be left alone',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const details = (index: number) => ({
        type: 'https://jit-elevate.dev/authorization/task',
        ...{
          environment: 'prod',
          task: 'deploy',
          targets: [],
          reason: `please ${index}`,
          ticket: '',
          labels: {},
        },
        claimed: { repository: '', branch: '', commit: '', dirty: false },
        command: { argv: ['true'], directory: s.repository, executable: '/bin/true' },
      })
      const answers = await Promise.all(
        Array.from({ length: 150 }, (_, index) =>
          ask({
            method: 'POST',
            target: '/v1/grants',
            body: JSON.stringify({
              key: `flood-${index}-${process.pid}-0123456789`,
              details: details(index),
            }),
          }).catch(() => ''),
        ),
      )
      const through = answers.filter(accepted).length
      writeFileSync(join(s.notes, 'flood'), String(through))
      const refusal = answers.find((answer) => answer !== '' && !accepted(answer)) ?? ''
      if (through <= 60) throw new Error(`${through} of 150; then ${refusal.split('\r\n')[0]}`)
      return `${through} of 150 came through`
    },
  },
]

/** What is asked of the supervisor. */
export const linkEscapes: readonly Escape[] = [
  // What asks for production comes first: later it would be refused for being too much.
  ...terminal,
  ...asking,
  ...identity,
  ...smuggling,
  ...flooding,
]
