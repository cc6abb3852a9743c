import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { get } from 'node:http'
import type { Escape, Surroundings } from '../escape.ts'
import { python, speak } from '../tools.ts'

/** Where the sandbox's own proxy listens, with what it wants to be told. */
function proxy(): { port: number; authorization: string } {
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
const SPELLINGS = [
  ...['127.0.0.1', 'localhost', 'LOCALHOST', 'localhost.', 'sub.localhost', '127.1', '127.0.0.2'],
  ...['2130706433', '0x7f000001', '0x7f.0.0.1', '0177.0.0.1', '017700000001', '127.0.0.1.'],
  ...['0.0.0.0', '0', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]'],
  ...['[0:0:0:0:0:ffff:127.0.0.1]', '[64:ff9b::7f00:1]', '127.0.0.1%00.example.com', '①②⑦.0.0.1'],
  ...['localhost.localdomain', 'ip6-localhost', '127.0.0.1#', '@127.0.0.1', '127.0.0.1\t'],
]

/** Ways to write the address at which clouds hand out the machine's credentials. */
const METADATA = [
  ...['169.254.169.254', '2852039166', '0xa9fea9fe', '0xA9.0xFE.0xA9.0xFE', '0251.0376.0251.0376'],
  ...['169.254.43518', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', 'metadata.google.internal'],
  ...['metadata', 'metadata.google.internal.', '100.100.100.200', '192.0.0.192', '169.254.170.2'],
]

/** Names that are nearly one that may be reached. */
const NEARLY = [
  ...[
    'example.com.evil.example',
    'evil-example.com',
    'sub.example.com',
    'example.com@evil.example',
  ],
  ...['example.com%00.evil.example', 'evil.example#example.com', 'example.com:80@evil.example'],
]

/** Asks the proxy for a tunnel to each, until one opens. */
async function tunnel(hosts: readonly string[], port: number, say: string) {
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
async function page(hosts: readonly string[], port: number, path: string, host?: string) {
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
async function socks(address: Buffer, port: number, say: string): Promise<string> {
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

const GET = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`

const name = (text: string) => Buffer.concat([Buffer.of(3, text.length), Buffer.from(text)])

function fetched(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 1_500 }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve(body))
    })
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', reject)
  })
}

const brokerPort = ({ broker }: Surroundings) => Number(new URL(broker).port)

const loopback: Escape[] = [
  {
    name: 'reach a web server on loopback directly',
    gain: 'what developers run without a password',
    plain: true,
    proof: 'secret',
    attempt: ({ webPort }) => fetched(`http://127.0.0.1:${webPort}/`),
  },
  {
    name: 'reach it through a tunnel of the proxy, its address spelled in 30 ways',
    gain: 'what developers run without a password',
    plain: false,
    proof: 'claim',
    attempt: ({ webPort }) => tunnel(SPELLINGS, webPort, GET('/')),
  },
  {
    name: 'reach it as a page through the proxy, its address spelled in 30 ways',
    gain: 'what developers run without a password',
    plain: false,
    proof: 'claim',
    attempt: ({ webPort }) => page(SPELLINGS, webPort, '/'),
  },
  {
    name: 'reach it through SOCKS, by address and by name',
    gain: 'what developers run without a password',
    plain: false,
    proof: 'secret',
    attempt: async ({ webPort }) =>
      (
        await Promise.all([
          socks(Buffer.of(1, 127, 0, 0, 1), webPort, GET('/')),
          socks(Buffer.of(1, 0, 0, 0, 0), webPort, GET('/')),
          socks(name('localhost'), webPort, GET('/')),
          socks(name('127.0.0.1'), webPort, GET('/')),
          socks(Buffer.concat([Buffer.of(4), Buffer.alloc(15), Buffer.of(1)]), webPort, GET('/')),
        ])
      ).join('\n'),
  },
  {
    name: 'reach a database on loopback directly',
    gain: 'its own sign-in, past the port that signs in',
    plain: true,
    proof: 'claim',
    attempt: ({ databasePort }) =>
      speak({ port: databasePort, say: Buffer.of(0, 0, 0, 8, 4, 210, 22, 47) }),
  },
]

const broker: Escape[] = [
  {
    name: 'reach the broker directly',
    gain: 'to ask without the supervisor',
    plain: true,
    proof: 'claim',
    attempt: (s) => fetched(`${s.broker}/healthz`),
  },
  {
    name: 'reach the broker through the proxy: a tunnel, a page, SOCKS',
    gain: 'to ask without the supervisor',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const port = brokerPort(s)
      const tries = await Promise.allSettled([
        tunnel(SPELLINGS, port, GET('/healthz')),
        page(SPELLINGS, port, '/healthz'),
        page(['example.com'], port, '/healthz', `127.0.0.1:${port}`),
        socks(Buffer.of(1, 127, 0, 0, 1), port, GET('/healthz')),
      ])
      const got = tries.map((one) => (one.status === 'fulfilled' ? one.value : ''))
      return got.find((answer) => answer.includes('"status":"ok"'))
    },
  },
]

const outwards: Escape[] = [
  {
    name: "reach the cloud's metadata service, its address spelled in 14 ways",
    gain: "the machine's own credentials",
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const answers = await Promise.allSettled([
        fetched('http://169.254.169.254/latest/meta-data/'),
        tunnel(METADATA, 80, ''),
        page(METADATA, 80, '/latest/meta-data/'),
      ])
      return (
        answers.map((one) => (one.status === 'fulfilled' ? one.value : '')).join('') || undefined
      )
    },
  },
  {
    name: 'reach names that are nearly one that may be reached',
    gain: 'a way to send out what it read',
    plain: false,
    proof: 'claim',
    attempt: () => tunnel(NEARLY, 443, ''),
  },
  {
    name: 'reach the internet: by address, by DNS over HTTPS, by another port of a name that may be reached',
    gain: 'a way to send out what it read',
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const tries = await Promise.allSettled([
        tunnel(['1.1.1.1', '8.8.8.8', 'dns.google', 'cloudflare-dns.com', 'example.net'], 443, ''),
        tunnel(['example.com'], 22, ''),
        page(['1.1.1.1', 'example.net', 'example.com'], 80, '/'),
      ])
      return tries.map((one) => (one.status === 'fulfilled' ? one.value : '')).join('') || undefined
    },
  },
  {
    name: 'send out a question by DNS',
    gain: 'a way to send out what it read, one name at a time',
    plain: true,
    proof: 'secret',
    attempt: async ({ dnsPort }) => {
      const resolver = new Resolver({ timeout: 800, tries: 1 })
      resolver.setServers([`127.0.0.1:${dnsPort}`])
      return (await resolver.resolveTxt('secret.example.com')).flat().join('')
    },
  },
  {
    name: 'send a datagram out of the machine',
    gain: 'a way to send out what it read',
    plain: false,
    proof: 'claim',
    attempt: () =>
      new Promise((resolve, reject) => {
        const socket = createSocket('udp4')
        socket.send('x', 9, '192.0.2.1', (error) => {
          socket.close()
          if (error) reject(error)
          else resolve('sent')
        })
      }),
  },
  {
    name: 'send packets of its own making (ICMP, raw and packet sockets on an interface that leads out)',
    gain: 'a way to send out what it read, and to listen',
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () =>
      python(
        `for family, kind, protocol in ((2, 3, 1), (2, 3, 255), (17, 3, 0x300), (17, 2, 0x300), (2, 2, 1)):
    fd = libc.socket(family, kind, socket.htons(protocol) if family == 17 else protocol)
    if fd < 0: continue
    if family == 17: print('packets'); break
    try: socket.socket(fileno=fd).sendto(b'\\x08\\0\\xf7\\xff\\0\\0\\0\\0', ('192.0.2.1', 0)); print('sent'); break
    except OSError as error: last = error
else: sys.exit('refused')`,
      ),
  },
  {
    name: "enter another process's network (setns), or give its own an interface that leads out",
    gain: 'the whole network',
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: async () =>
      python(
        `import glob
own = os.readlink('/proc/self/ns/net')
for path in glob.glob('/proc/[0-9]*/ns/net') + glob.glob('/run/netns/*') + glob.glob('/var/run/netns/*'):
    try:
        if os.readlink(path) == own: continue
    except OSError: pass
    try: fd = os.open(path, os.O_RDONLY)
    except OSError: continue
    if libc.setns(fd, 0x40000000) == 0 and os.readlink('/proc/self/ns/net') != own: print(path); sys.exit(0)
links = [line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]
if any(link != 'lo' for link in links): print(links)
else: sys.exit('nothing but lo')`,
      ),
  },
  {
    name: 'use the proxy without its password, or with a wrong one',
    gain: 'the way out of another sandbox',
    plain: false,
    proof: 'claim',
    attempt: async () => {
      const { port } = proxy()
      const wrong = [
        '',
        'Proxy-Authorization: Basic c3J0Og==\r\n',
        'Proxy-Authorization: Bearer x\r\n',
      ]
      const answers = await Promise.all(
        wrong.map((line) =>
          speak({
            port,
            say: `CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n${line}\r\n`,
          }),
        ),
      )
      return answers.find((answer) => !/^HTTP\/1\.[01] 407/.test(answer) && answer !== '')
    },
  },
]

/** What is reached over a network. */
export const network: readonly Escape[] = [...loopback, ...broker, ...outwards]
