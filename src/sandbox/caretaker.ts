import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Waits beside a sandbox to clear up after it. */
export interface Caretaker {
  /** Clears up now; resolves when that is done. Everything inside has ended. */
  clear(): Promise<void>
}

/**
 * Starts a small process that removes what a sandbox leaves outside: it is told to, or finds that this
 * process was killed by the end of its input. What is removed is `folder` and those of the noted paths
 * that are still empty, as bubblewrap made them, once no sandbox needs them.
 * @param pid of bubblewrap: nothing is removed before it has ended
 * @param note see `noteSandbox`
 * @param exclude git's file of what is ignored in the repository; `''` for none
 */
export function keepClear({
  script,
  pid,
  folder,
  note,
  exclude,
}: {
  script: string
  pid: number
  folder: string
  note: string
  exclude: string
}): Caretaker {
  const child = spawn('/bin/sh', [script, String(pid), folder, note, exclude], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin' },
    detached: true,
  })
  const ended = once(child, 'exit').catch(() => {})
  child.stdin.on('error', () => {})
  return {
    async clear() {
      child.stdin.end()
      await ended
    },
  }
}
