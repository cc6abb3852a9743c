import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SAMPLE_EVERY_MS = 250

/** The memory that a process holds (resident set), in MB. */
export async function memoryOf(pid: number): Promise<number> {
  const { stdout } = await run('ps', ['-o', 'rss=', '-p', String(pid)])
  return (Number(stdout) * 1024) / 1e6
}

/** The most memory that a process holds while `work` goes on, in MB. */
export async function mostMemory<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<{ most: number; result: T }> {
  let most = await memoryOf(pid)
  const timer = setInterval(async () => {
    most = Math.max(most, await memoryOf(pid).catch(() => 0))
  }, SAMPLE_EVERY_MS)
  try {
    const result = await work()
    return { most: Math.max(most, await memoryOf(pid)), result }
  } finally {
    clearInterval(timer)
  }
}

/** What Node itself holds when it only serves HTTP. */
export async function memoryOfNode(): Promise<number> {
  const serve = "require('node:http').createServer().listen(0, '127.0.0.1', () => console.log())"
  const child = spawn(process.execPath, ['-e', serve], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    await once(child.stdout, 'data')
    return await memoryOf(child.pid ?? 0)
  } finally {
    child.kill('SIGKILL')
  }
}
