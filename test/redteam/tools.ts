import { execFile } from 'node:child_process'
import { connect } from 'node:net'

const TIMEOUT_MS = 12_000
const MAX_OUTPUT = 4 * 1024 * 1024

interface RunOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  /** Milliseconds. */
  readonly timeout?: number
}

interface Ran {
  readonly code: number
  readonly output: string
}

/** Runs a program to its end, with what it wrote to either stream. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const limits = { timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT } as const
    const child = execFile(file, [...args], { ...limits, ...options }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 255
      resolve({ code, output: `${out}${err}${code === 255 ? (error?.message ?? '') : ''}` })
    })
    child.stdin?.end()
  })
}

/** What a shell command wrote, whether or not it succeeded. */
export async function shell(command: string, options: RunOptions = {}): Promise<string> {
  return (await run('/bin/sh', ['-c', command], options)).output
}

/** Of the calls below that the C library has no name for, on the machines that tests run on. */
const PRELUDE = `
import ctypes, os, platform, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == 'aarch64'
def check(result, what):
    if result == -1 or result == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        sys.exit(what + ': ' + os.strerror(number))
    return result
def call(x86, arm, *args):
    libc.syscall.restype = ctypes.c_long
    return check(libc.syscall(ctypes.c_long(arm if ARM else x86),
                 *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]), 'syscall')
def own_user_namespace():
    uid, gid = os.getuid(), os.getgid()
    check(libc.unshare(0x10000000 | 0x00020000), 'unshare')
    try:
        open('/proc/self/setgroups', 'w').write('deny')
        open('/proc/self/uid_map', 'w').write('0 %d 1' % uid)
        open('/proc/self/gid_map', 'w').write('0 %d 1' % gid)
    except OSError:
        pass
`

/**
 * What a Python program printed: it reaches the kernel where Node doesn't.
 * @throws Error when it fails, with the last line it said
 */
export async function python(program: string, args: readonly string[] = []): Promise<string> {
  const { code, output } = await run('/usr/bin/python3', ['-c', PRELUDE + program, ...args])
  if (code !== 0) throw new Error(output.trim().split('\n').at(-1) || `exit code ${code}`)
  return output
}

interface Speaking {
  readonly host?: string
  readonly port: number
  readonly say?: string | Buffer
  /** How long to listen when the other side doesn't close. */
  readonly patience?: number
}

/** Sends bytes over TCP and gives back whatever is answered. */
export function speak({
  host = '127.0.0.1',
  port,
  say,
  patience = 700,
}: Speaking): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const socket = connect({ host, port })
    const end = () => {
      socket.destroy()
      resolve(heard)
    }
    socket.setTimeout(patience, end)
    socket.on('connect', () => {
      if (say !== undefined) socket.write(say)
    })
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
    })
    socket.on('end', end)
    socket.on('error', (error) => (heard === '' ? reject(error) : end()))
  })
}

/** What a Unix socket answers; a name that starts with a NUL is an abstract one. */
export function speakTo(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const socket = connect({ path })
    socket.setTimeout(1_000, () => socket.destroy())
    socket.on('data', (chunk) => {
      heard += chunk
    })
    socket.on('close', () => resolve(heard))
    socket.on('error', reject)
  })
}

/** Ids of the processes that can be seen here, but for this one and those above it. */
export async function others(): Promise<number[]> {
  const { readdirSync } = await import('node:fs')
  const own = new Set([process.pid, process.ppid])
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && !own.has(pid))
}
