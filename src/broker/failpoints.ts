/** The steps between which a broker may die, as fault tests name them. */
export type FailurePoint =
  | 'request:pending'
  | 'request:permitted'
  | 'approve:recorded'
  | 'mint:intended'
  | 'mint:created'
  | 'mint:recorded'
  | 'mint:delivered'
  | 'renew:intended'
  | 'renew:extended'
  | 'renew:recorded'
  | 'revoke:recorded'
  | 'revoke:undone'
  | 'revoke:settled'

/** Called at each step; fault tests end the process there. */
export type Failpoints = (point: FailurePoint) => void

/** What fault tests ask for: `POINT` or `POINT:COUNT`, such as `mint:created` or `mint:created:3`. */
interface DangerousEnvironment {
  readonly JIT_BROKER_DANGEROUSLY_DIE_AT?: string | undefined
  readonly JIT_BROKER_DANGEROUSLY_STOP_AT?: string | undefined
}

/**
 * Nothing happens, unless a test asked for it: then this process ends, as by `kill -9`, or is
 * suspended, as by `kill -STOP`, when it gets to a point for the `count`-th time.
 */
export function failpoints(env: DangerousEnvironment): Failpoints {
  const signals = [
    signalAt(env.JIT_BROKER_DANGEROUSLY_DIE_AT, 'SIGKILL'),
    signalAt(env.JIT_BROKER_DANGEROUSLY_STOP_AT, 'SIGSTOP'),
  ]
  return (point) => {
    for (const signal of signals) signal?.(point)
  }
}

function signalAt(place: string | undefined, signal: NodeJS.Signals): Failpoints | undefined {
  if (place === undefined) return undefined
  const [phase, step, count = '1'] = place.split(':')
  let left = Number(count)
  return (point) => {
    if (point !== `${phase}:${step}`) return
    left -= 1
    if (left === 0) process.kill(process.pid, signal)
  }
}
