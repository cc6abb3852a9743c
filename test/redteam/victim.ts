/**
 * The person's other programs, in one process: sockets that answer everybody, web and name servers,
 * shared memory, a key, an open file. Prints one line of JSON when all is there.
 * Usage: node victim.ts HOME; the secret is in SECRET.
 */
import { createSocket } from 'node:dgram'
import { mkdirSync, openSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer as createWebServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join } from 'node:path'

const { SECRET = '' } = process.env
const [, , home = '', sockets = '{}', abstractSocket = ''] = process.argv

function answering(path: string): Promise<void> {
  if (!path.startsWith('\0')) mkdirSync(dirname(path), { recursive: true })
  return new Promise((listening) => {
    createServer((socket) => {
      socket.on('error', () => {})
      socket.end(SECRET)
    }).listen(path, listening)
  })
}

async function webServer(): Promise<number> {
  const server = createWebServer((_, response) => response.end(SECRET))
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return (server.address() as AddressInfo).port
}

/** Answers every question with one TXT record (RFC 1035 section 4.1). */
async function nameServer(): Promise<number> {
  const server = createSocket('udp4')
  server.on('message', (question, { port, address }) => {
    const text = Buffer.from(SECRET)
    const head = Buffer.from(question.subarray(0, 12))
    head.writeUInt16BE(0x8180, 2)
    head.writeUInt16BE(1, 6)
    head.writeUInt16BE(0, 10)
    const asked = question.subarray(12, question.indexOf(0, 12) + 5)
    const record = Buffer.from([
      0xc0,
      0x0c,
      0,
      16,
      0,
      1,
      0,
      0,
      0,
      60,
      0,
      text.length + 1,
      text.length,
    ])
    server.send(Buffer.concat([head, asked, record, text]), port, address)
  })
  await new Promise<void>((bound) => server.bind(0, '127.0.0.1', bound))
  return server.address().port
}

const listening = Object.values(JSON.parse(sockets) as Record<string, string>)
await Promise.all([...listening, `\0${abstractSocket}`].map(answering))
const file = join(home, 'open-and-removed')
writeFileSync(file, SECRET)
openSync(file, 'r')
unlinkSync(file)
// What a debugger sees in the folder that is watched, and a tracer of system calls in what is written.
const noise = openSync('/dev/null', 'w')
setInterval(() => {
  writeFileSync(noise, SECRET)
  writeFileSync(join(home, '.ssh', `${SECRET}-seen`), '')
}, 50)

const [webPort, dnsPort] = await Promise.all([webServer(), nameServer()])
process.stdout.write(`${JSON.stringify({ webPort, dnsPort })}\n`)
