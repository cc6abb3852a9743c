import { JitError } from '../lib/errors.ts'

/** Classic BPF as seccomp takes it (Linux: filter.h, seccomp.h): load, compare, test bits, answer. */
const LOAD = 0x20
const EQUAL = 0x15
const AT_LEAST = 0x35
const ANY_OF = 0x45
const AND = 0x54
const ANSWER = 0x06

const ALLOW = 0x7fff0000
const KILL = 0x80000000
/** `SECCOMP_RET_ERRNO` with EPERM, EAFNOSUPPORT and ENOSYS. */
const REFUSE = 0x00050001
const NO_SUCH_FAMILY = 0x00050061
const NO_SUCH_CALL = 0x00050026

/** Offsets in `struct seccomp_data`, little-endian: an argument's low half. */
const NUMBER = 0
const ARCHITECTURE = 4
const argument = (index: number): number => 16 + 8 * index

/** `__X32_SYSCALL_BIT`: the same calls again under numbers from here on; no architecture has others there. */
const X32 = 0x40000000

const SET_UID = 0o4000
/** `O_CREAT` and `__O_TMPFILE`: only then does a call that opens have a mode. */
const MAKES = 0o100 | 0o20000000
/** AF_UNIX (refused later, when the relays are up), AF_INET, AF_INET6, AF_NETLINK. */
const FAMILIES = [1, 2, 10, 16]
/** Characters typed for the person, and a console's clipboard: TIOCSTI, TIOCLINUX. */
const TYPING = [0x5412, 0x541c]

/** Numbers of system calls; undefined where an architecture doesn't have the call. */
interface Calls {
  /** `AUDIT_ARCH_*`. */
  readonly architecture: number
  /** Keys of the person's session, kernel programs, files by handle: nothing that builds or runs software needs. */
  readonly refused: readonly number[]
  /** A structure in memory says what is opened: no filter can read it, and callers know how to do without. */
  readonly openat2: number
  readonly socket: number
  readonly ioctl: number
  /** Calls that set a mode, with the index of that argument. */
  readonly modes: Readonly<Record<number, number>>
  /** Calls that may make a file: index of the flags; the mode follows. */
  readonly opens: Readonly<Record<number, number>>
}

/** Linux: syscall_64.tbl, unistd.h (generic). */
const CALLS: Readonly<Record<string, Calls>> = {
  x64: {
    architecture: 0xc000003e,
    // add_key, request_key, keyctl, perf_event_open, open_by_handle_at, bpf
    refused: [248, 249, 250, 298, 304, 321],
    openat2: 437,
    socket: 41,
    ioctl: 16,
    // chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat
    modes: { 90: 1, 91: 1, 268: 2, 452: 2, 85: 1, 133: 1, 259: 2 },
    // open, openat
    opens: { 2: 1, 257: 2 },
  },
  arm64: {
    architecture: 0xc00000b7,
    refused: [217, 218, 219, 241, 265, 280],
    openat2: 437,
    socket: 198,
    ioctl: 29,
    // fchmod, fchmodat, fchmodat2, mknodat
    modes: { 52: 1, 53: 2, 452: 2, 33: 2 },
    opens: { 56: 2 },
  },
}

type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number]

/**
 * A filter of system calls for bubblewrap to install, beside the runtime's own against Unix sockets:
 * what namespaces don't hold. Refused are the kernel's keyrings, sockets of other families (AF_VSOCK
 * reaches the host of a virtual machine), set-user-id files, typing into the terminal.
 * @param architecture as Node names it
 * @returns `struct sock_filter[]`
 * @throws JitError `sandbox_unavailable`
 */
export function systemCallFilter(architecture: string): Buffer {
  const calls = CALLS[architecture]
  if (!calls) throw new JitError('sandbox_unavailable', `no sandbox on ${architecture} so far`)
  const { socket, ioctl, openat2, refused, modes, opens } = calls
  const program: Instruction[] = [
    [LOAD, 0, 0, ARCHITECTURE],
    [EQUAL, 1, 0, calls.architecture],
    [ANSWER, 0, 0, KILL],
    [LOAD, 0, 0, NUMBER],
    [AT_LEAST, 0, 1, X32],
    [ANSWER, 0, 0, NO_SUCH_CALL],
    ...refused.flatMap((call) => onCall(call, [[ANSWER, 0, 0, REFUSE]])),
    ...onCall(openat2, [[ANSWER, 0, 0, NO_SUCH_CALL]]),
    ...onCall(socket, onlyFamilies()),
    ...onCall(ioctl, [
      [LOAD, 0, 0, argument(1)],
      ...TYPING.flatMap((request): Instruction[] => [
        [EQUAL, 0, 1, request],
        [ANSWER, 0, 0, REFUSE],
      ]),
      [ANSWER, 0, 0, ALLOW],
    ]),
    ...Object.entries(modes).flatMap(([call, mode]) => onCall(Number(call), noSetUid(mode))),
    ...Object.entries(opens).flatMap(([call, flags]) =>
      onCall(Number(call), [
        [LOAD, 0, 0, argument(flags)],
        [AND, 0, 0, MAKES],
        [ANY_OF, 1, 0, MAKES],
        [ANSWER, 0, 0, ALLOW],
        ...noSetUid(flags + 1),
      ]),
    ),
    [ANSWER, 0, 0, ALLOW],
  ]
  return encode(program)
}

/** Runs the steps for one call; with any other number loaded it goes on after them. */
function onCall(call: number, steps: readonly Instruction[]): Instruction[] {
  return [[EQUAL, 0, steps.length, call], ...steps]
}

function noSetUid(mode: number): Instruction[] {
  return [
    [LOAD, 0, 0, argument(mode)],
    [ANY_OF, 0, 1, SET_UID],
    [ANSWER, 0, 0, REFUSE],
    [ANSWER, 0, 0, ALLOW],
  ]
}

function onlyFamilies(): Instruction[] {
  return [
    [LOAD, 0, 0, argument(0)],
    ...FAMILIES.map((family, index): Instruction => [EQUAL, FAMILIES.length - index, 0, family]),
    [ANSWER, 0, 0, NO_SUCH_FAMILY],
    [ANSWER, 0, 0, ALLOW],
  ]
}

/** `struct sock_filter`: u16 code, u8 jt, u8 jf, u32 k, in the machine's order: both are little-endian. */
function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, [code, ifTrue, ifFalse, value]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(ifTrue, index * 8 + 2)
    bytes.writeUInt8(ifFalse, index * 8 + 3)
    bytes.writeUInt32LE(value, index * 8 + 4)
  }
  return bytes
}
