import { askPatiently, disguised, jit, tryThem } from '../door.ts'
import type { Escape } from '../escape.ts'

/** What it asks for and decides. */
export const asking: readonly Escape[] = [
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
