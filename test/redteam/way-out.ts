import { speak } from './tools.ts'

/** Where the sandbox's own proxy listens, with what it wants to be told. */
export function proxy(): { port: number; authorization: string } {
  const { HTTP_PROXY } = process.env
  if (!HTTP_PROXY) throw new Error('there is no proxy')
  const url = new URL(HTTP_PROXY)
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return {
    port: Number(url.port),
    authorization: `Proxy-Authorization: Basic ${Buffer.from(login).toString('base64')}\r\n`,
  }
}

/** Ways to write this machine's loopback address. */
export const SPELLINGS = [
  ...['127.0.0.1', 'localhost', 'LOCALHOST', 'localhost.', 'sub.localhost', '127.1', '127.0.0.2'],
  ...['2130706433', '0x7f000001', '0x7f.0.0.1', '0177.0.0.1', '017700000001', '127.0.0.1.'],
  ...['0.0.0.0', '0', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]'],
  ...['[0:0:0:0:0:ffff:127.0.0.1]', '[64:ff9b::7f00:1]', '127.0.0.1%00.example.com', '①②⑦.0.0.1'],
  ...['localhost.localdomain', 'ip6-localhost', '127.0.0.1#', '@127.0.0.1', '127.0.0.1\t'],
]

/** Ways to write the address at which clouds hand out the machine's credentials. */
export const METADATA = [
  ...['169.254.169.254', '2852039166', '0xa9fea9fe', '0xA9.0xFE.0xA9.0xFE', '0251.0376.0251.0376'],
  ...['169.254.43518', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', 'metadata.google.internal'],
  ...['metadata', 'metadata.google.internal.', '100.100.100.200', '192.0.0.192', '169.254.170.2'],
]

/** Names that are nearly one that may be reached. */
export const NEARLY = [
  ...[
    'example.com.evil.example',
    'evil-example.com',
    'sub.example.com',
    'example.com@evil.example',
  ],
  ...['example.com%00.evil.example', 'evil.example#example.com', 'example.com:80@evil.example'],
]

/** Asks the proxy for a tunnel to each, until one opens. */
export async function tunnel(hosts: readonly string[], port: number, say: string) {
  const { port: at, authorization } = proxy()
  const answers = await Promise.all(
    hosts.map(async (host) => {
      const head = `CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n${authorization}\r\n`
      const answer = await speak({ port: at, say: `${head}${say}`, patience: 1_500 })
      return /^HTTP\/1\.[01] 2/.test(answer) ? `${host}: ${answer}` : ''
    }),
  )
  return found(answers)
}

/** Asks the proxy for a page at each, as a browser would without TLS. */
export async function page(hosts: readonly string[], port: number, path: string, host?: string) {
  const { port: at, authorization } = proxy()
  const answers = await Promise.all(
    hosts.map(async (name) => {
      const head = `GET http://${name}:${port}${path} HTTP/1.1\r\nHost: ${host ?? `${name}:${port}`}\r\n`
      const answer = await speak({
        port: at,
        say: `${head}${authorization}Connection: close\r\n\r\n`,
        patience: 1_500,
      })
      return /^HTTP\/1\.[01] 2/.test(answer) ? `${name}: ${answer}` : ''
    }),
  )
  return found(answers)
}

/** @throws Error when none was any good */
function found(answers: readonly string[]): string {
  const got = answers.filter((answer) => answer !== '')
  if (got.length === 0) throw new Error(`${answers.length} spellings, none was let through`)
  return got.join('\n')
}

const SOCKS_PORT = 1080

/** A SOCKS5 client with user and password (RFC 1928, RFC 1929). */
export async function socks(address: Buffer, port: number, say: string): Promise<string> {
  const { HTTP_PROXY = '' } = process.env
  if (HTTP_PROXY === '') throw new Error('there is no proxy')
  const { username, password } = new URL(HTTP_PROXY)
  const [user, secret] = [username, password].map((part) => Buffer.from(decodeURIComponent(part)))
  if (!user || !secret) throw new Error('there is no proxy')
  const login = Buffer.concat([Buffer.of(1, user.length), user, Buffer.of(secret.length), secret])
  const where = Buffer.concat([address, Buffer.of(port >> 8, port & 255)])
  const hello = Buffer.concat([
    Buffer.of(5, 2, 0, 2),
    login,
    Buffer.of(5, 1, 0),
    where,
    Buffer.from(say),
  ])
  return speak({ port: SOCKS_PORT, say: hello, patience: 1_500 })
}

export const GET = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`

export const name = (text: string) => Buffer.concat([Buffer.of(3, text.length), Buffer.from(text)])
