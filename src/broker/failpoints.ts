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

/**
 * Nothing happens, unless a test asked for it: then this process ends, as by `kill -9`, when it
 * gets to a point for the `count`-th time.
 * @param dangerouslyDieAt `POINT` or `POINT:COUNT`, such as `mint:created` or `mint:created:3`
 */
export function failpoints(dangerouslyDieAt: string | undefined): Failpoints {
  if (dangerouslyDieAt === undefined) return () => {}
  const [phase, step, count = '1'] = dangerouslyDieAt.split(':')
  let left = Number(count)
  return (point) => {
    if (point !== `${phase}:${step}`) return
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  }
}
