import type { Escape } from '../escape.ts'
import { python, shell } from '../tools.ts'

const needs = ['python3']

const ipc: Escape[] = [
  {
    name: "read another program's shared memory (System V)",
    gain: 'what programs of the person share: databases, browsers, X11',
    plain: true,
    needs,
    proof: 'secret',
    attempt: ({ sharedMemory }) =>
      python(
        `libc.shmat.restype = ctypes.c_void_p
at = check(libc.shmat(int(sys.argv[1]), None, 0o10000), 'shmat')
print(ctypes.string_at(at, 256).split(b'\\0')[0].decode())`,
        [String(sharedMemory)],
      ),
  },
  {
    name: 'see what other programs share (/proc/sysvipc)',
    gain: 'whom to attach to',
    plain: true,
    proof: 'claim',
    attempt: ({ sharedMemory }) =>
      shell(`awk '$2 == ${sharedMemory}' /proc/sysvipc/shm`).then(
        (line) => line.trim() || undefined,
      ),
  },
  {
    name: "read another program's shared memory (/dev/shm)",
    gain: 'what programs of the person share',
    plain: true,
    proof: 'secret',
    attempt: ({ sharedFile }) => shell(`cat ${sharedFile} /dev/shm/*`),
  },
  {
    name: "read a key in the person's session keyring (keyctl)",
    gain: 'tickets and tokens that the kernel keeps for the person',
    plain: true,
    needs,
    proof: 'secret',
    attempt: ({ key }) =>
      python(
        `data = ctypes.create_string_buffer(256)
call(250, 219, 11, int(sys.argv[1]), data, 256)
print(data.value.decode())`,
        [String(key)],
      ),
  },
  {
    name: "leave a key in the person's session keyring",
    gain: 'word to whoever comes after the sandbox',
    plain: false,
    needs,
    proof: 'claim',
    attempt: () => python(`print(call(248, 217, b'user', b'jit-red-team', b'word', 4, -3))`),
  },
]

/** Files by which root of a machine changes all of it. A sandbox is root in a namespace, and its user may be root. */
const HANDLES = [
  ...['/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sysrq-trigger'],
  ...['/proc/sys/kernel/randomize_va_space', '/proc/sys/kernel/yama/ptrace_scope'],
  ...[
    '/proc/sys/vm/overcommit_memory',
    '/proc/sys/fs/suid_dumpable',
    '/proc/sys/fs/protected_symlinks',
  ],
  ...['/proc/sys/fs/binfmt_misc/register', '/sys/kernel/uevent_helper', '/sys/kernel/mm/ksm/run'],
  ...['/sys/power/state', '/sys/fs/cgroup/cgroup.procs', '/sys/fs/cgroup/devices/release_agent'],
  ...['/sys/fs/cgroup/unified/cgroup.procs', '/proc/1/oom_score_adj', '/proc/self/attr/current'],
]

/** Each does no harm where it succeeds. */
const calls: Record<string, string> = {
  'load a program into the kernel (bpf)':
    'print(call(321, 280, 0, ctypes.create_string_buffer(struct.pack("IIIII", 1, 4, 4, 1, 0) + bytes(100)), 72))',
  'watch the machine with performance counters (perf_event_open)':
    'print(call(298, 241, ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0) + bytes(96)), -1, 0, -1, 0))',
  "read the kernel's log": 'print(call(103, 116, 10, 0, 0))',
  'load a module into the kernel': 'print(call(313, 273, os.memfd_create("m"), b"", 0))',
  'set the clock':
    'import time; now = struct.pack("qq", int(time.time()), 0); print(call(227, 112, 0, ctypes.create_string_buffer(now)))',
  'rename the machine':
    'name = os.uname().nodename.encode(); print(call(170, 161, name, len(name)))',
  'make a device':
    'print(call(133 if not ARM else 33, 33, *([b"disk"] if not ARM else [-100, b"disk"]), 0o60600, 0xfe00))',
  "mount the machine's disk":
    'libc.unshare(0x20000); libc.mount(None, b"/", None, 0x44000, None); print(check(libc.mount(b"/dev/vda", b"/mnt", b"ext4", 1, None), "mount"))',
  'mount control groups, and with them the rights of their release agent':
    'own_user_namespace(); check(libc.unshare(0x02000000), "unshare"); print(check(libc.mount(b"c", b"/mnt", b"cgroup", 0, b"rdma"), "mount"))',
  'mount a fresh /proc of the machine':
    'own_user_namespace(); check(libc.mount(b"proc", b"/mnt", b"proc", 0, None), "mount"); print(open("/mnt/sys/kernel/core_pattern").read())',
  'make the root writable again':
    'libc.unshare(0x20000); print(check(libc.mount(b"none", b"/", None, 32 | 4096, None), "mount"))',
  'take page faults of the kernel (userfaultfd)': 'print(call(323, 282, 0))',
}

const kernel: Escape[] = Object.entries(calls).map(([name, program]) => ({
  name,
  gain: 'the machine, or a step on the way to it',
  plain: false,
  needs,
  proof: 'claim',
  attempt: () => python(program),
}))

const others: Escape[] = [
  {
    name: 'change settings of the kernel (/proc/sys, /sys)',
    gain: 'where core dumps go, and with it a program that runs as root outside',
    plain: false,
    proof: 'claim',
    attempt: () =>
      shell(
        `for f in ${HANDLES.join(' ')}; do (exec 3>>$f) 2>/dev/null && echo $f; done; true`,
      ).then(
        (open) =>
          open.replace(/\/proc\/(1\/oom_score_adj|self\/attr\/current)\n/g, '').trim() || undefined,
      ),
  },
  {
    name: 'leave a program that runs as the person for whoever starts it (set-uid)',
    gain: 'an accomplice of another user becomes the person',
    plain: true,
    proof: 'effect',
    attempt: ({ repository }) =>
      shell(
        `cp /bin/true ${repository}/set-uid; chmod 4755 ${repository}/set-uid || python3 -c "import os; os.close(os.open('${repository}/set-uid2', os.O_CREAT | os.O_WRONLY, 0o4755))"`,
      ),
    effect: ({ repository }) =>
      shell(`find ${repository} -maxdepth 1 -perm /4000 -type f`).then(
        (list) => list.trim() !== '',
      ),
  },
  {
    name: 'have its own memory written out where it wants (core dumps)',
    gain: 'memory of programs with leases on the disk',
    plain: false,
    proof: 'claim',
    attempt: () =>
      shell(
        'ulimit -c unlimited 2>/dev/null; ulimit -Hc; cd "$(mktemp -d)" && sh -c \'kill -SEGV $$\'; ls core* 2>/dev/null',
      ).then((said) => /^core/m.exec(said)?.[0]),
  },
  {
    name: 'become another user (su, sudo, set-uid programs)',
    gain: 'root',
    plain: false,
    proof: 'claim',
    attempt: () =>
      shell(`grep -q 'NoNewPrivs:.1' /proc/self/status || echo set-uid programs work`).then(
        (said) => said.trim() || undefined,
      ),
  },
]

/** What the kernel shares between all programs, and what it does for the strong. */
export const kernelEscapes: readonly Escape[] = [...ipc, ...kernel, ...others]
