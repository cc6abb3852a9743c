import { accepted, askPatiently, jit, tryThem } from '../door.ts'
import type { Escape } from '../escape.ts'

/** Under headers by which something in front of a broker would say who asks. */
const CLAIMS = [
  ...['Authorization: DPoP eyJ.eyJ.x', 'Authorization: Bearer x', 'DPoP: eyJ.eyJ.x'],
  ...['X-Forwarded-User: dev', 'X-Forwarded-For: 127.0.0.1', 'Forwarded: for=127.0.0.1;by=dev'],
  ...['X-Remote-User: dev', 'Cookie: session=dev', 'X-Original-URL: /v1/audit', 'X-Jit-Agent: '],
  ...['X-HTTP-Method-Override: POST', 'X-Rewrite-URL: /v1/audit', 'Via: jit'],
]

/** Who it says it is. */
export const posing: readonly Escape[] = [
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
